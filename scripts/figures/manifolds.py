"""Radiance manifolds in cuts: as the template has them, and where an expression carries them.

    python scripts/figures/manifolds.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.manifolds import FIGURE

if __name__ == "__main__":
    main(FIGURE)
