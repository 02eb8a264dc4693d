"""Messages between modules; docs/delivery.md has the rules."""
