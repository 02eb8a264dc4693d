"""Detectors in the workshop: made-up minutes, the contract that every one of them keeps, and a file to begin with."""
