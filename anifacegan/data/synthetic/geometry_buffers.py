"""What the morphable model knows of every image of a data set: how far the surface is, and which vertices are seen.

Derived from the coefficients by drawing each dressed head once; kept in a folder, so a second run starts at once.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt16
from tqdm import tqdm

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.synthetic.head import dressed_head
from anifacegan.data.synthetic.renderer import (
    RasterizedMesh,
    SyntheticPerson,
    SyntheticRenderer,
    camera_frame_rays,
    load_synthetic_renderer,
    rasterize_surface,
    visible_corners,
)
from anifacegan.data.synthetic.workers import map_in_processes
from anifacegan.face_model.open_model import face_model_sha256
from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.geometry.conventions import BACKGROUND_Z
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import cannot_be_written, complete_or_absent, sha256, write_complete

DEPTH_STEPS = 40_000
"""Steps of a stored distance per world unit; 0 is "no surface". The error is at most 1.3e-5."""
POOL_ITEMS = 128
"""Fewer items than this are drawn in one process: starting others would take longer."""
NOTE = "surfaces.json"
"""Written last: says what the folder holds."""
FILES = ("distance.npy", "visible.npy", NOTE)
"""All that a folder holds."""


@dataclass(frozen=True)
class GeometryBuffers:
    """GeometryBuffers of all images."""

    distance: UInt16[np.ndarray, "item height width"]
    """Distance along each pixel's ray in steps; 0 where the background is seen."""
    visible: np.ndarray
    """(item, vertex / 8) bits of the face model's vertices that the camera sees."""


def load_geometry_buffers(
    folder: Path, latents: CoefficientTable, size: int, face_model: Path | None
) -> GeometryBuffers:
    """Read the folder, or draw all heads and write it. Progress on stderr; an interrupted run starts over.

    Raises:
        InputError: the data set has no appearance codes, so nothing is known of hair and clothes; or the file is no
            face model, or the folder has no room.
    """
    description = geometry_description(latents, size, face_model)
    if _is_there(folder / NOTE, description):
        return GeometryBuffers(np.load(folder / "distance.npy"), np.load(folder / "visible.npy"))
    renderer = load_synthetic_renderer(face_model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).unlink(missing_ok=True)
    columns, count = _columns(latents), len(latents.id)
    distance = _empty_distances(folder / "distance.npy", count, size)
    visible = []
    jobs = [(SyntheticPerson(*person), pose, size) for *person, pose in zip(*columns, strict=True)]
    drawn = map_in_processes(_drawn, renderer, jobs, 1 if count < POOL_ITEMS else None)
    for item, (seen_distance, seen_vertices) in enumerate(
        tqdm(drawn, total=count, desc="surfaces", disable=not sys.stderr.isatty())
    ):
        distance[item] = seen_distance
        visible.append(np.packbits(seen_vertices))
    distance.flush()
    with complete_or_absent(folder / "visible.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(visible))
    write_complete(folder / NOTE, json.dumps(description))
    return GeometryBuffers(distance, np.stack(visible))


def _empty_distances(path: Path, count: int, size: int) -> np.ndarray:
    """A file in the place of an array. Its room is taken now: a map that finds the disk full ends the process."""
    path.unlink(missing_ok=True)  # it may be a link that other runs share
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(count, size, size))
        if hasattr(os, "posix_fallocate"):  # Linux and BSD
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_be_written(path, error) from None
    return array


def geometry_description(latents: CoefficientTable, size: int, face_model: Path | None) -> dict[str, Any]:
    """What tells the data of one image size from others: counts, and sums of the codes and the face model's file.

    Raises:
        InputError: the data set has no appearance codes, so nothing is known of hair and clothes.
    """
    return {
        "count": len(latents.id),
        "size": size,
        "steps": DEPTH_STEPS,
        "checksum": float(latents.exp.abs().sum()),
        "codes_sha256": sha256(column.tobytes() for column in _columns(latents)),
        "face_model_sha256": face_model_sha256(face_model),
    }


def _columns(latents: CoefficientTable) -> tuple[np.ndarray, ...]:
    """Everything that an image is drawn from."""
    if latents.noise is None:
        raise InputError("surfaces are known of synthetic data only: every .mat has to hold 'noise'")
    return latents.id.numpy(), latents.exp.numpy(), latents.noise.numpy(), latents.pose.numpy()


def _is_there(note: Path, description: dict[str, Any]) -> bool:
    """Whether a finished folder holds the surfaces that are asked for; its note may lack the sums, which are newer."""
    try:
        found = json.loads(note.read_text())
        return {**description, **found} == description and {
            "count",
            "size",
            "steps",
            "checksum",
        } <= found.keys()
    except (OSError, ValueError, TypeError, AttributeError):
        return False  # none, or half a note


Job = tuple[SyntheticPerson, np.ndarray, int]
"""What :func:`draw_geometry_buffer` takes beside the synthetic renderer."""


def _drawn(renderer: SyntheticRenderer, job: Job) -> tuple[np.ndarray, np.ndarray]:
    return draw_geometry_buffer(renderer, *job)


def draw_geometry_buffer(
    renderer: SyntheticRenderer, person: SyntheticPerson, pose: Float[np.ndarray, "2"], size: int
) -> tuple[UInt16[np.ndarray, "size size"], Bool[np.ndarray, " vertex"]]:
    """Distances of one image, in steps, and the vertices of the bare head that are seen in it."""
    appearance = renderer.prior.appearance(person.z_id, person.z_noise)
    surface = dressed_head(renderer.head, person.z_id, person.z_exp, appearance)
    pitch, yaw = torch.from_numpy(np.asarray(pose, np.float64))[:, None]
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=size)
    view = rasterize_surface(surface, renderer.head.world_offset, camera)
    distance = distance_map(view, camera)
    seen = visible_corners(surface.triangles, view.triangle[distance > 0], len(surface.vertices))
    return distance, seen[: len(renderer.head.parts.part)]  # without the curtain of long hair


def distance_map(view: RasterizedMesh, camera: Camera) -> UInt16[np.ndarray, "size size"]:
    """How far along its ray each pixel's surface is, in steps; 0 where the background plane hides it or nothing is."""
    rays = camera_frame_rays(camera)
    hit = view.triangle >= 0
    depth = np.where(hit, 1.0 / np.maximum(view.nearest, 1e-6), 0.0)
    rotation, translation = camera.rotation[0].numpy(), camera.translation[0].numpy()
    z_world = ((rays * depth[..., None] - translation) @ rotation.T)[..., 2]
    shown = hit & (z_world > BACKGROUND_Z)
    return np.where(shown, depth * np.linalg.norm(rays, axis=-1) * DEPTH_STEPS + 0.5, 0).astype(np.uint16)
