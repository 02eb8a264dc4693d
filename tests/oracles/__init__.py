"""Oracles: slow, plain Python that says what the engine must say.

Written from docs/minute.md and docs/architecture.md, never from the kernels.
"""
