"""Reasons remembered while a minute is open, until the quality stage judges it."""

from __future__ import annotations

from engine.core.kernel import inlined, kernel


@inlined
def set_mark(marks, symbol, minute, reason):
    """Remember `reason` for a symbol's minute. marks: MARK (symbols, SLOTS). A minute already recycled is let go."""
    mark = marks[symbol, minute & 3]
    if mark.minute < minute:
        mark.minute = minute
        mark.reasons = 0
    if mark.minute == minute:
        mark.reasons |= reason


@kernel
def add_mark(marks, symbol, minute, reason):
    """`set_mark` for whoever is no kernel: an inlined helper called from Python would be compiled at every start."""
    set_mark(marks, symbol, minute, reason)


@inlined
def marks_of(marks, symbol, minute):
    """Reasons remembered for a symbol's minute; 0 if none."""
    mark = marks[symbol, minute & 3]
    return mark.reasons if mark.minute == minute else 0
