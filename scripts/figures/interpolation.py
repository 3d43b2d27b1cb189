"""In small steps from person to person, and from expression to expression: codes on straight lines.

    python scripts/figures/interpolation.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.interpolation import FIGURE

if __name__ == "__main__":
    main(FIGURE)
