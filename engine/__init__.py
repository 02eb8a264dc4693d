"""The engine: core (pure), stages (pure), ends (things that wait) and assembly. See docs/architecture.md."""
