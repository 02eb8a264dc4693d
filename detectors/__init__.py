"""The detectors: one family a file, listed in table.py; what becomes of what they find is engine/signals."""
