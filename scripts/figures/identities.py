"""One expression on many people: the code means the same for everybody.

    python scripts/figures/identities.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.identities import FIGURE

if __name__ == "__main__":
    main(FIGURE)
