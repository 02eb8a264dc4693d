"""Assembly: importers, the simulated market, and the replay that proves a session."""
