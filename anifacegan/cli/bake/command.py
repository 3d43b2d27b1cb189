"""``anifacegan bake``: bake one person of a model into a file that plays without the networks."""

from collections.abc import Sequence

from anifacegan.cli.bake.config import BakeCommand
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan bake`` with the command-line words ``arguments``; prints what was written.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used.
    """
    config = read_config(BakeCommand, arguments, "anifacegan bake")
    from anifacegan.avatars.avatar import require_room_for_avatar, save_avatar
    from anifacegan.cli.bake.run import baked_avatar
    from anifacegan.rendering.model import load_model
    from anifacegan.runtime.cpu import keep_freed_memory
    from anifacegan.runtime.locks import FileLock

    keep_freed_memory()
    with FileLock(config.out):
        require_room_for_avatar(config.out, config.overwrite)
        avatar = baked_avatar(config, load_model(config.model, select_device(config.device)))
        save_avatar(config.out, avatar, config.overwrite)
        size = config.out.stat().st_size / 1e6
    count, triangles = len(avatar.card.expressions), len(avatar.layered_mesh.triangles)
    print(printable(f"{config.out}: {count} expressions, {triangles} triangles, {size:.1f} MB"))
