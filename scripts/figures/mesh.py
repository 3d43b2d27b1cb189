"""A head as a triangle mesh with colours: NAME.ply and NAME.obj, and an image of them.

    python scripts/figures/mesh.py --model checkpoints/demo --out runs/figures

``--help`` lists the options; the figure is explained in docs/figures.md.
"""

from anifacegan.evaluation.figures.command import main
from anifacegan.evaluation.figures.mesh import FIGURE

if __name__ == "__main__":
    main(FIGURE)
