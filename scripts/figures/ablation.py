"""The training ablation as a table: printed, as Markdown, and as an image.

    python scripts/figures/ablation.py --results runs/ablation/ablation.json --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.ablation import FIGURE
from anifacegan.evaluation.figures.command import main

if __name__ == "__main__":
    main(FIGURE)
