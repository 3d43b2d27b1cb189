"""Figures of a model, one file for each kind; ``catalogue`` lists them, ``scripts/figures/`` are their commands."""
