"""anifacegan: faces that do not exist, that you can turn and make smile.

An open implementation of AniFaceGAN (Wu et al., NeurIPS 2022). Reading order, which is the order of the data:
``shapes``, ``coefficients``, ``cameras``, ``rays`` (what a face is described by); ``morphable``, ``rasterizer``,
``lighting``, ``people``, ``synthetic`` (the parametric face); ``models.*`` up to ``models.generator`` (the networks and
the renderer); ``losses.*``, ``training`` (how they learn); ``library`` (the front door).
"""

from anifacegan.rendering.model import Face, Model, load_model
from anifacegan.runtime.errors import InputError

__all__ = ["Face", "InputError", "Model", "load_model"]
