"""The live engine under load: a venue in a process of its own, the engine as a user starts it, figures from outside."""
