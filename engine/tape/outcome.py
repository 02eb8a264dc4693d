"""What becomes of a message: the outcomes, and the digest of all that was applied."""

from __future__ import annotations

from engine.core.kernel import inlined
from engine.core.words import mix, shift_right

APPLIED, IGNORED, BOOK_BROKEN, BOOK_MENDED = range(4)


@inlined
def stir(venue, first, second, third):
    """Fold three words into the venue's running digest; a change of any single one changes it."""
    venue.mix = (
        mix(venue.mix ^ shift_right(venue.mix, 29), first) + mix(second, 0) + shift_right(mix(third, 1), 1) + third
    )
