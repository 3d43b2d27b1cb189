"""``anifacegan import-released``: convert the weights that AniFaceGAN's authors released into a model folder."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import InputError, printable
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class ImportConfig:
    """Convert the weights that AniFaceGAN's authors released into a model folder. 'anifacegan render' can also read the
    released files directly, but a model folder loads faster, because the mean appearance that truncation needs is
    stored in it. The weights keep the licence of their authors.
    """

    released: Path
    """Folder with the files generator.pth, ema.pth (the averaged weights; without it, the raw ones are converted) and
    dif.pth, and with the weights of the two VAEs: pretrained_vaes/identity/vae.pth and
    pretrained_vaes/expression/vae.pth, in this folder or the one above, or vae_identity.pth and vae_expression.pth."""
    out: OutputFolder
    """Model folder to write: model.safetensors and card.yaml."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan import-released`` with the command-line words ``arguments``; prints a summary of the model.

    Raises:
        InputError: a wrong option, or no released files in the folder.
    """
    config = read_config(ImportConfig, arguments, "anifacegan import-released")
    from anifacegan.models.model_folder import require_room_for_model

    require_room_for_model(config.out, config.overwrite)
    print(printable(f"{config.out}: {import_released(config.released, config.out)}"))


def import_released(folder: Path, out: Path) -> str:
    """Load the released model from ``folder`` and write it as a model folder to ``out``; return a summary of the model.

    The card.yaml that is written lists the files that the model was made from, with their SHA-256.

    Raises:
        InputError: the folder holds no released files, or something in it is missing or does not fit.
    """
    from anifacegan.models.checkpoints import save_checkpoint
    from anifacegan.models.released import released_files, released_folder
    from anifacegan.rendering.model import released_checkpoint
    from anifacegan.runtime.files import file_sha256

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected AniFaceGAN's released files")
    released = released_folder(folder)
    if released is None:
        raise InputError(f"{folder}: holds no generator.pth, expected AniFaceGAN's released files")
    checkpoint = released_checkpoint(released)
    checksums = {name: file_sha256(path) for name, path in sorted(released_files(released).items())}
    origin = "AniFaceGAN's released files, by anifacegan import-released"
    card = dataclasses.replace(
        checkpoint.card,
        licence="as the released files; ask their authors",
        training={"origin": origin, "sha256": checksums},
    )
    save_checkpoint(out, dataclasses.replace(checkpoint, card=card))
    count = sum(tensor.numel() for tensor in checkpoint.generator.state_dict().values())
    return f"{card.name}, {count:,} numbers, for face model {card.face_model}"
