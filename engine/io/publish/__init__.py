"""The way of a signal to the outside; docs/delivery.md has the rules."""
