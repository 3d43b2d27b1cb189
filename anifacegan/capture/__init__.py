"""Photographs in: detection, landmarks, the fit of the open face model; avatars of photographs, models refined to one.

The public names are imported at their first use, so that importing a module of this room does not load all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anifacegan.capture.photo_avatar import avatar_from_photo
    from anifacegan.capture.refined_model import refined_from_photo

__all__ = ["avatar_from_photo", "refined_from_photo"]
_MODULES = {"avatar_from_photo": "photo_avatar", "refined_from_photo": "refined_model"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"anifacegan.capture.{_MODULES[name]}"), name)
