"""A stage: the market of one venue in one minute, from the rows of all its symbols."""
