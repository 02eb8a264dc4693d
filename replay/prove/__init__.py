"""The proof: journals replayed under many environments, each in a process of its own, must give one digest."""
