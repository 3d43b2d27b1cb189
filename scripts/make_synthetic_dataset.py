#!/usr/bin/env python3
"""Make an FFHQ-style data set of synthetic people: PNG images with one Deep3DFaceRecon-style .mat each.

    python scripts/make_synthetic_dataset.py --out data/synthetic --count 20000 --size 256 --seed 1

Item i is a function of (seed, i) alone. Killed and started again, the script keeps what is complete and goes on.
"""
# ruff: noqa: E402

import json
import os
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Before numpy is imported: one thread a process. Loops are numba kernels on one core, processes share the machine; a
# BLAS sums in another order with other numbers of threads, and the prior would be fitted to other last bits.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import torch
from tqdm import tqdm

from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer, render_item
from anifacegan.data.synthetic.workers import map_in_processes
from anifacegan.face_model.coefficients import write_coefficients
from anifacegan.face_model.open_model import face_model_path
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import (
    complete_or_absent,
    encoded_image,
    file_sha256,
    remove_leftovers,
    write_complete,
)
from anifacegan.runtime.typed_config import read_config

DESCRIPTION_FILE = "dataset.json"
FORMAT_VERSION = 1
"""Raised when the same (seed, index) would give another image."""
SIZES = range(16, 2049)


@dataclass(frozen=True)
class DataSetConfig:
    """Make an FFHQ-style data set of synthetic people: PNG images with one Deep3DFaceRecon-style .mat each."""

    out: Path
    """Folder to write to."""
    count: int
    """Number of images."""
    size: int = 256
    """Height and width in pixels."""
    seed: int = 0
    """Which people."""
    processes: int | None = None
    """How many processes. null: one a core."""
    zip: bool = False
    """Also write OUT.zip with the same files."""
    face_model: Path | None = None
    """File of the open face model. null: the one that scripts/build_face_model.py keeps in the cache."""

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("processes", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name} is {value}, expected at least {low}")
        if self.size not in SIZES:
            raise InputError(f"size is {self.size}, expected {SIZES.start} to {SIZES.stop - 1}")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out: {self.out} is a file, expected a folder")


def main(arguments: Sequence[str]) -> None:
    config = read_config(DataSetConfig, arguments, "make_synthetic_dataset.py")
    torch.set_num_threads(1)
    renderer = load_synthetic_renderer(config.face_model)
    describe(config, renderer)
    missing = [index for index in range(config.count) if not is_complete(config.out, index)]
    made = map_in_processes(partial(make_item, config), renderer, missing, config.processes)
    with tqdm(
        initial=config.count - len(missing), total=config.count, unit="image", disable=None
    ) as progress:
        for _ in made:
            progress.update()
    if config.zip:
        archive(config.out, config.count)
    print(f"{config.count} images of {config.size} px in {config.out} ({len(missing)} made now)")


def describe(config: DataSetConfig, renderer: SyntheticRenderer) -> None:
    """Write dataset.json, or refuse a folder that holds other images."""
    path, count = config.out / DESCRIPTION_FILE, config.count
    face_model = config.face_model or face_model_path()
    description = {
        "format": FORMAT_VERSION,
        "seed": config.seed,
        "size": config.size,
        "face_model": renderer.head.name,
        "face_model_sha256": file_sha256(face_model),
        "world_offset": [round(x, 6) for x in renderer.head.world_offset.tolist()],
        "pitch_offset": 0.0,
    }
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            raise InputError(f"{path}: not a JSON file; remove the folder or choose another --out") from None
        for key, value in description.items():
            if found.get(key) != value:
                raise InputError(
                    f"{config.out} holds a data set with {key} {found.get(key)}, asked for {value}"
                )
        count = max(count, int(found.get("count", 0)))
    elif config.out.is_dir() and any(config.out.glob("[0-9]*.png")):
        raise InputError(f"{config.out} holds images but no {DESCRIPTION_FILE}; choose another --out")
    config.out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(config.out, r"\d{6,}\.(png|mat)|dataset\.json")  # of a process that was killed
    write_complete(path, json.dumps(description | {"count": count}, indent=2) + "\n")


def item_paths(out: Path, index: int) -> tuple[Path, Path]:
    return out / f"{index:06d}.png", out / f"{index:06d}.mat"


def is_complete(out: Path, index: int) -> bool:
    """Both files are there; the image is put in place last."""
    return all(path.is_file() for path in item_paths(out, index))


def make_item(config: DataSetConfig, renderer: SyntheticRenderer, index: int) -> None:
    image, face = render_item(renderer, config.seed, index, config.size)
    image_path, coefficients_path = item_paths(config.out, index)
    write_coefficients(coefficients_path, face)
    write_complete(image_path, encoded_image(image, compress_level=1))


def archive(out: Path, count: int) -> None:
    """All files in OUT.zip, without dates, so that the same data set is the same file."""
    path = out.with_name(out.name + ".zip")
    files: Iterable[Path] = [out / DESCRIPTION_FILE, *(p for i in range(count) for p in item_paths(out, i))]
    with complete_or_absent(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for file in files:
            target.writestr(zipfile.ZipInfo(file.name), file.read_bytes())


if __name__ == "__main__":
    with exit_on_input_error():
        main(sys.argv[1:])
