"""anifacegan: faces that do not exist, that you can turn and make smile.

An open implementation of AniFaceGAN (Wu et al., NeurIPS 2022). Reading order, which is the way of the data::

    .mat file      -> coefficients   anifacegan.face_model.coefficients   Deep3DFaceRecon's file, read and checked;
                                                                          its expression is the latent z_exp
    seed           -> latent         anifacegan.models.coefficient_vae    priors of identity and expression
    latent, point  -> template point anifacegan.models.deformation        the deformation field
    template point -> colour         anifacegan.models.template           colour and opacity on radiance manifolds
    colours        -> pixel          anifacegan.rendering.volume          rays, manifold crossings, compositing

``rendering.model`` joins them (:func:`load_model`), ``training.loop`` and ``training.adversarial`` teach them, and
``avatars`` bakes a person into a mesh that plays without them (:func:`load_avatar`). docs/architecture.md draws the
rooms.

The names below are imported at their first use (PEP 562), so that ``import anifacegan``, which every subcommand's
``--help`` begins with, loads neither torch nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anifacegan.avatars.avatar import Avatar, load_avatar
    from anifacegan.models.coefficient_vae import Latents
    from anifacegan.rendering.model import Face, Model, load_model
    from anifacegan.runtime.errors import InputError

__version__ = "0.2.0"  # setup.py reads it here

__all__ = ["Avatar", "Face", "InputError", "Latents", "Model", "__version__", "load_avatar", "load_model"]

_HOMES = {
    "Avatar": "anifacegan.avatars.avatar",
    "Face": "anifacegan.rendering.model",
    "InputError": "anifacegan.runtime.errors",
    "Latents": "anifacegan.models.coefficient_vae",
    "Model": "anifacegan.rendering.model",
    "load_avatar": "anifacegan.avatars.avatar",
    "load_model": "anifacegan.rendering.model",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
