"""The quality: whether a minute may be trusted, and why not."""
