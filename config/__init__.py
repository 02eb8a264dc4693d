"""Typed settings: schema.py says what exists, load.py where a value comes from, profiles/ what a mode starts with."""
