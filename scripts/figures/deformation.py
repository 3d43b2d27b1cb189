"""Template against deformed: what the deformation field carries where, seen from the front and in cuts.

    python scripts/figures/deformation.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.deformation import FIGURE

if __name__ == "__main__":
    main(FIGURE)
