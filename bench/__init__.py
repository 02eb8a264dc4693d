"""Assembly: how fast the stages are, with the result checked in the same run."""
