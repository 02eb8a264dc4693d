"""The ends: everything that waits for a disk or a socket. Imports core only, never a stage."""
