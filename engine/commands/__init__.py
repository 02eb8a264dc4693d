"""The verbs of the command line, one family a file, and terminal.py with what all of them share.

A verb is a thin shell: it reads options, calls one function of another room, and prints. Modules of this package import
only click and terminal at the top; everything else is imported inside the verb, so that `conveyor --help` is instant.
"""
