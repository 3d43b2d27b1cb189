#!/usr/bin/env python3
"""Make an FFHQ-style data set of synthetic people: PNG images with one Deep3DFaceRecon-style .mat each.

    python scripts/make_synthetic_dataset.py --out data/synthetic --count 20000 --size 256 --seed 1

Item i is a function of (seed, i) alone. Killed and started again, the script keeps what is complete and goes on.
"""
# ruff: noqa: E402

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# Before numpy is imported: one thread a process. Loops are numba kernels on one core, processes share the machine; a
# BLAS sums in another order with other numbers of threads, and the prior would be fitted to other last bits.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import torch
from PIL import Image
from tqdm import tqdm

from anifacegan.coefficients import write_coefficients
from anifacegan.errors import InputError, exit_on_input_error
from anifacegan.morphable import face_model_path, load_open_face_model
from anifacegan.synthetic import Studio, load_studio, render_item

DESCRIPTION_FILE = "dataset.json"
FORMAT_VERSION = 1
"""Raised when the same (seed, index) would give another picture."""
SIZES = range(16, 2049)


@dataclass(frozen=True)
class Job:
    """What every process has to know."""

    out: Path
    size: int
    seed: int
    face_model: Path


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    job = Job(options.out, options.size, options.seed, options.face_model or face_model_path())
    describe(job, options.count)
    missing = [index for index in range(options.count) if not is_complete(job.out, index)]
    progress = tqdm(
        initial=options.count - len(missing), total=options.count, unit="image", disable=not sys.stderr.isatty()
    )
    with progress:
        for _ in make_all(job, missing, options.processes):
            progress.update()
    if options.zip:
        archive(job.out, options.count)
    print(f"{options.count} images of {job.size} px in {job.out} ({len(missing)} made now)")


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (--help lists the options)")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, required=True, help="number of images")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels (default 256)")
    parser.add_argument("--seed", type=int, default=0, help="which people (default 0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one a core")
    parser.add_argument("--zip", action="store_true", help="also write OUT.zip with the same files")
    parser.add_argument("--face-model", type=Path, help="face model file (default: the built one in the cache)")
    options = parser.parse_args(arguments)
    for name, low in (("count", 1), ("processes", 1), ("seed", 0)):
        if getattr(options, name) < low:
            raise InputError(f"--{name} is {getattr(options, name)}, expected at least {low}")
    if options.size not in SIZES:
        raise InputError(f"--size is {options.size}, expected {SIZES.start} to {SIZES.stop - 1}")
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out} is a file, expected a folder")
    return options


def describe(job: Job, count: int) -> None:
    """Write dataset.json, or refuse a folder that holds other pictures."""
    path = job.out / DESCRIPTION_FILE
    model = load_open_face_model(job.face_model)
    description = {
        "format": FORMAT_VERSION,
        "seed": job.seed,
        "size": job.size,
        "face_model": model.name,
        "face_model_sha256": hashlib.sha256(job.face_model.read_bytes()).hexdigest(),
        "world_offset": [round(x, 6) for x in model.world_offset.tolist()],
        "pitch_offset": 0.0,
    }
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            raise InputError(f"{path}: not a JSON file; remove the folder or choose another --out") from None
        for key, value in description.items():
            if found.get(key) != value:
                raise InputError(f"{job.out} holds a data set with {key} {found.get(key)}, asked for {value}")
        count = max(count, int(found.get("count", 0)))
    elif job.out.is_dir() and any(job.out.glob("[0-9]*.png")):
        raise InputError(f"{job.out} holds images but no {DESCRIPTION_FILE}; choose another --out")
    job.out.mkdir(parents=True, exist_ok=True)
    for leftover in job.out.glob(".*.tmp"):                            # of a process that was killed
        leftover.unlink()
    write_atomically(path, (json.dumps(description | {"count": count}, indent=2) + "\n").encode())


def item_paths(out: Path, index: int) -> tuple[Path, Path]:
    return out / f"{index:06d}.png", out / f"{index:06d}.mat"


def is_complete(out: Path, index: int) -> bool:
    """Both files are there; the image is put in place last."""
    return all(path.is_file() for path in item_paths(out, index))


def write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def make_all(job: Job, indices: list[int], processes: int) -> Iterator[int]:
    """Make the items, in any order, and yield their indices."""
    if not indices:
        return iter(())
    if processes == 1:
        return (make_item(job, studio, index) for studio in [open_studio(job)] for index in indices)
    return make_in_processes(job, indices, min(processes, len(indices)))


def make_in_processes(job: Job, indices: list[int], processes: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=start_worker, initargs=(job,)) as pool:
        yield from pool.imap_unordered(work, indices, chunksize=8)


def open_studio(job: Job) -> Studio:
    torch.set_num_threads(1)
    return load_studio(job.face_model)


def start_worker(job: Job) -> None:
    work.job, work.studio = job, open_studio(job)


def work(index: int) -> int:
    """One item in a worker process, which holds its studio as an attribute of this function."""
    return make_item(work.job, work.studio, index)


def make_item(job: Job, studio: Studio, index: int) -> int:
    image, face = render_item(studio, job.seed, index, job.size)
    image_path, coefficients_path = item_paths(job.out, index)
    write_coefficients(coefficients_path, face)
    temporary = image_path.with_name(f".{image_path.name}.{os.getpid()}.tmp")
    Image.fromarray(image).save(temporary, format="png", compress_level=1)
    os.replace(temporary, image_path)
    return index


def archive(out: Path, count: int) -> None:
    """All files in OUT.zip, without dates, so that the same data set is the same file."""
    path = out.with_name(out.name + ".zip")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    files: Iterable[Path] = [out / DESCRIPTION_FILE, *(p for i in range(count) for p in item_paths(out, i))]
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for file in files:
            target.writestr(zipfile.ZipInfo(file.name), file.read_bytes())
    os.replace(temporary, path)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
