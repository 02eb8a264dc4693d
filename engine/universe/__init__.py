"""A stage: which symbols are carried, how much of them, and what an operator or the load has to say about it."""
