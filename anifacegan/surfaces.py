"""What the morphable model knows of every picture of a data set: how far the surface is, and which vertices are seen.

Derived from the coefficients by drawing each dressed head once; kept in a folder, so a second run starts at once.
"""

import json
import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt16
from tqdm import tqdm

from anifacegan.cameras import orbit_camera
from anifacegan.data import CoefficientTable
from anifacegan.errors import InputError
from anifacegan.head_geometry import dressed_head
from anifacegan.morphable import WORLD_PER_MODEL_UNIT
from anifacegan.rasterizer import draw_triangles
from anifacegan.shapes import BOX
from anifacegan.synthetic import Person, Studio, load_studio

DEPTH_STEPS = 40_000
"""Steps of a stored distance per world unit; 0 is "no surface". The error is at most 1.3e-5."""


@dataclass(frozen=True)
class Surfaces:
    """Surfaces of all pictures."""

    distance: UInt16[np.ndarray, "item height width"]
    """Distance along each pixel's ray in steps; 0 where the background is seen."""
    visible: np.ndarray
    """(item, vertex / 8) bits of the face model's vertices that the camera sees."""


def load_surfaces(folder: Path, codes: CoefficientTable, size: int, face_model: Path | None) -> Surfaces:
    """Read the folder, or draw all heads and write it. Progress on stderr; an interrupted run starts over.

    Raises:
        InputError: the data set has no appearance codes, so nothing is known of hair and clothes.
    """
    if codes.noise is None:
        raise InputError("surfaces are known of synthetic data only: every .mat has to hold 'noise'")
    count = len(codes.id)
    description = {"count": count, "size": size, "steps": DEPTH_STEPS, "checksum": float(codes.exp.abs().sum())}
    note = folder / "surfaces.json"
    if note.is_file() and json.loads(note.read_text()) == description:
        return Surfaces(np.load(folder / "distance.npy"), np.load(folder / "visible.npy"))
    folder.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    distance = np.lib.format.open_memmap(
        folder / "distance.npy", mode="w+", dtype=np.uint16, shape=(count, size, size)
    )
    visible = []
    context = multiprocessing.get_context("spawn")
    columns = (codes.id, codes.exp, codes.noise, codes.pose)
    jobs = [(*(column[i].numpy() for column in columns), size) for i in range(count)]
    with context.Pool(os.cpu_count(), initializer=_start_worker, initargs=(face_model,)) as pool:
        drawn = tqdm(
            pool.imap(_work, jobs, chunksize=16), total=len(jobs), desc="surfaces", disable=not sys.stderr.isatty()
        )
        for item, (seen_distance, seen_vertices) in enumerate(drawn):
            distance[item] = seen_distance
            visible.append(seen_vertices)
    distance.flush()
    np.save(folder / "visible.npy", np.stack(visible))
    note.write_text(json.dumps(description))
    return Surfaces(distance, np.stack(visible))


def draw_surface(
    studio: Studio, person: Person, pose: Float[np.ndarray, "2"], size: int
) -> tuple[UInt16[np.ndarray, "size size"], Bool[np.ndarray, " vertex"]]:
    """Distances of one picture, in steps, and the vertices of the bare head that are seen in it."""
    looks = studio.prior.appearance(person.z_id, person.z_noise)
    surface = dressed_head(studio.head, person.z_id, person.z_exp, looks)
    pitch, yaw = torch.from_numpy(np.asarray(pose, np.float64))[:, None]
    camera = orbit_camera(pitch, yaw, size)
    world = WORLD_PER_MODEL_UNIT * surface.vertices.astype(np.float64) + studio.head.world_offset
    in_camera = world @ camera.rotation[0].numpy() + camera.translation[0].numpy()
    inverse_depth = (-1.0 / in_camera[:, 2]).astype(np.float64)
    x_px = camera.principal_px + camera.focal_px * in_camera[:, 0] * inverse_depth
    y_px = camera.principal_px - camera.focal_px * in_camera[:, 1] * inverse_depth
    triangles = np.full((size, size), -1, np.int32)
    nearest = np.zeros((size, size), np.float32)
    draw_triangles(x_px, y_px, inverse_depth, surface.triangles, triangles, nearest)

    offsets = (np.arange(size) - camera.principal_px) / camera.focal_px
    x, y = np.meshgrid(offsets, -offsets)
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1)                 # (S, S, 3) in the camera's frame
    hit = triangles >= 0
    depth = np.where(hit, 1.0 / np.maximum(nearest, 1e-6), 0.0)
    z_world = ((rays * depth[..., None] - camera.translation[0].numpy()) @ camera.rotation[0].numpy().T)[..., 2]
    hit &= z_world > -BOX                                              # the background plane hides what is behind it
    distance = np.where(hit, depth * np.linalg.norm(rays, axis=-1) * DEPTH_STEPS + 0.5, 0).astype(np.uint16)
    seen = np.zeros(max(len(surface.vertices), len(studio.head.parts.part)), bool)
    seen[surface.triangles[np.unique(triangles[hit])].ravel()] = True
    return distance, seen[: len(studio.head.parts.part)]


def _start_worker(face_model: Path | None) -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    _work.studio = load_studio(face_model)


def _work(job: tuple) -> tuple[np.ndarray, np.ndarray]:
    z_id, z_exp, z_noise, pose, size = job
    distance, visible = draw_surface(_work.studio, Person(z_id, z_exp, z_noise), pose, size)
    return distance, np.packbits(visible)
