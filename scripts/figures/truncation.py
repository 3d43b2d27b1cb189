"""Truncation: the appearance from the average person's (psi 0) to the full variety (psi 1), and beyond.

    python scripts/figures/truncation.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.truncation import FIGURE

if __name__ == "__main__":
    main(FIGURE)
