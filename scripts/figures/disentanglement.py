"""One code changes, the others stay: what should not change can be seen not to.

    python scripts/figures/disentanglement.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.disentanglement import FIGURE

if __name__ == "__main__":
    main(FIGURE)
