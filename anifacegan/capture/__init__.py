"""Photographs in: detection, landmarks, the fit of the open face model, and avatars of photographs.

The public name is imported at its first use, so that importing a module of this room does not load all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anifacegan.capture.photo_avatar import avatar_from_photo

__all__ = ["avatar_from_photo"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("anifacegan.capture.photo_avatar"), name)
