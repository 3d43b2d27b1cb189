"""Hostile and broken inputs, drawn from a seed: every reader and command ends well, or in one line about the input.

    python -m tests.fuzz --seed 7 --cases 2000

A case is a valid input that a mutation has changed, and a call that reads it. It is clean if the call succeeds, or
raises InputError with one printable line, in time and memory limits, and leaves the folder beside the input as it was.
"""
