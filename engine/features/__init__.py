"""A stage: the columns behind the bars, from the row in hand, the minutes before it and what they taught."""
