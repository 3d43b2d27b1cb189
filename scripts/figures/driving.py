"""An avatar that follows a driving sequence: a film of both side by side, and some of its frames as an image.

    python scripts/figures/driving.py --model checkpoints/demo --out runs/figures
    python scripts/figures/driving.py --driving mat --frames 48

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.driving import FIGURE

if __name__ == "__main__":
    main(FIGURE)
