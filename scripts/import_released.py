"""Turn a folder of AniFaceGAN's released files into a model folder of our own.

    python scripts/import_released.py --released FOLDER --out checkpoints/released

The folder holds generator.pth, ema.pth, dif.pth and the VAEs as pretrained_vaes/{identity,expression}/vae.pth (or
beside them as vae_identity.pth and vae_expression.pth). render.py takes such a folder as it is, too; a model folder
loads faster, because the truncation mean is kept. The weights stay under the licence of their authors.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from anifacegan.models.checkpoints import Checkpoint, save_checkpoint
from anifacegan.models.released import is_released_folder
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import file_sha256
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class ImportConfig:
    """Turn AniFaceGAN's released files into a model folder of our own."""

    released: Path
    """Folder with generator.pth, ema.pth, dif.pth and the two VAEs."""
    out: Path
    """Model folder to write: model.safetensors and card.yaml."""


def imported(folder: Path) -> Checkpoint:
    """The released model, with a card that says what it was made from.

    Raises:
        InputError: the folder holds no released files, or something in it is missing or does not fit.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected AniFaceGAN's released files")
    if not is_released_folder(folder):
        raise InputError(f"{folder}: holds no generator.pth, expected AniFaceGAN's released files")
    checkpoint = load_model(folder).checkpoint
    files = sorted([*folder.rglob("*.pth"), *folder.glob("averages.npz")])
    origin = {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
    card = dataclasses.replace(
        checkpoint.card,
        licence="as the released files; ask their authors",
        training={"origin": "AniFaceGAN's released files, by scripts/import_released.py", "sha256": origin},
    )
    return dataclasses.replace(checkpoint, card=card)


def main() -> None:
    with exit_on_input_error():
        config = read_config(ImportConfig, sys.argv[1:], "import_released.py")
        if config.out.exists() and not config.out.is_dir():
            raise InputError(f"{config.out}: is a file, expected a folder to write into")
        checkpoint = imported(config.released)
        save_checkpoint(config.out, checkpoint)
        numbers = sum(tensor.numel() for tensor in checkpoint.generator.state_dict().values())
        print(
            f"{config.out}: {checkpoint.card.name}, {numbers:,} numbers, for face model {checkpoint.card.face_model}"
        )


if __name__ == "__main__":
    main()
