"""Failures on purpose: calls that fail, power that goes, processes that are killed; and what must be true afterwards.

Whatever happens, two questions are asked: is anything lost that was acknowledged, and do the records that are there
give what an undisturbed life gives? An answer that is wrong is a `Loss`, with the command that shows it again.
"""
