"""Expressions from left to right, views from top to bottom: one person, whose face and camera obey.

    python scripts/figures/expression_views.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.expression_views import FIGURE

if __name__ == "__main__":
    main(FIGURE)
