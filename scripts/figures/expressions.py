"""Many expressions on one person: the named ones, then some that the model's prior draws.

    python scripts/figures/expressions.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.expressions import FIGURE

if __name__ == "__main__":
    main(FIGURE)
