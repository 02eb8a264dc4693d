"""The stage `signals`: what becomes of what detectors found, and what is said of it."""
