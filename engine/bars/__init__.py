"""The bars: ticks become integer sums per symbol and minute, sums become one row when the minute closes."""
