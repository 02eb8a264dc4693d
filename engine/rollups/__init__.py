"""Bars of 15 minutes and of an hour, from the rows of their minutes."""
