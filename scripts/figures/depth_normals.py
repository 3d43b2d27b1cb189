"""Depth and normals: the shape behind the colours, from several sides.

    python scripts/figures/depth_normals.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.depth_normals import FIGURE

if __name__ == "__main__":
    main(FIGURE)
