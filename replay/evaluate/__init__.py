"""Judging the detectors: what was to be seen, what was said, and what came of it; docs/evaluation.md has every rule."""
