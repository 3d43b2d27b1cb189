"""Geometry buffers of a synthetic data set: a distance map and the visible vertices of every image.

A distance map holds, for each pixel, the distance from the camera to what the pixel shows. The buffers are rendered
from the latents once, with hair, glasses and clothes, and stored in a folder that later runs read.
Hair is many strands, each thinner than a pixel. Where strands cover at least half of a pixel, the distance of the pixel
is the distance up to which the nearest strands cover half of it; the surface behind is then not visible. Where strands
cover less than half (the edge of the hair, brows, stubble), the pixel has the distance of the solid surface behind the
strands or, if there is none, shows the background.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt16
from tqdm import tqdm

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.rasterized_mesh import camera_frame_rays, visible_corners
from anifacegan.data.reserved_arrays import checksum, reserved_array
from anifacegan.data.synthetic.renderer import SyntheticRenderer, person_strands, rasterize_surface
from anifacegan.data.synthetic.sampling import SyntheticPerson
from anifacegan.data.synthetic.strands.drawing import draw_strands
from anifacegan.data.synthetic.surface.person_surface import person_surface
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.runtime.errors import InputError, first_line, say
from anifacegan.runtime.files import complete_or_absent, sha256, write_complete
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.output_folders import claim, note_contents, require_room, withdraw_claim
from anifacegan.runtime.processes import map_in_processes

DEPTH_STEPS = 40_000
"""Distances are stored as whole multiples of 1 / DEPTH_STEPS world units, with an error of at most 1.3e-5 world units;
0 means that there is no surface."""
POOL_ITEMS = 128
"""Smallest number of images for which several processes are started; one process renders fewer images faster."""
NOTE = "surfaces.json"
"""Name of the file that describes the data from which the folder was made; its description is written last."""
_IS_OURS = "latents_sha256"
"""Key of every description, also of an unfinished one."""
SUMS = "crc32"
"""Key of the checksums of the two arrays in it."""
FILES = ("distance.npy", "visible.npy", NOTE)
"""Names of the files in a folder of geometry buffers."""


@dataclass(frozen=True)
class GeometryBuffers:
    """Distance maps and visible vertices of all images of a data set."""

    distance: UInt16[np.ndarray, "item height width"]
    """Distance from the camera along each pixel's ray, in 1 / DEPTH_STEPS world units; 0 where the background shows."""
    visible: np.ndarray
    """(item, ceil(vertex / 8)) uint8: one bit for each vertex of the face model (``numpy.packbits``), 1 if the camera
    sees it."""


def load_geometry_buffers(
    folder: Path, latents: CoefficientTable, size: int, renderer: SyntheticRenderer
) -> GeometryBuffers:
    """Read the distance maps and visible vertices of a data set's images from a folder.

    If the folder lacks them, was made from other data, or was left unfinished by an interrupted run, they are rendered
    and stored first. Progress is shown on stderr.

    Args:
        folder: where the buffers are stored.
        latents: latents and poses of the images.
        size: height and width of the images in pixels.
        renderer: renderer of the images.

    Raises:
        InputError: the data set has no appearance latents (photographs), so hair and clothes are unknown; or the disk
            is full.
    """
    description = geometry_description(latents, size, renderer.head)
    note = _note(folder / NOTE)
    sums = note.pop(SUMS, None)
    stored = _stored(folder, len(latents.id), size, sums) if note == description else None
    if stored is not None:
        return stored
    claim(folder, FILES, overwrite=_IS_OURS in note or None)  # of whichever data
    with FolderLock(folder):
        write_complete(
            folder / NOTE, json.dumps({_IS_OURS: None})
        )  # by this, a killed run's arrays are known
        try:
            buffers = _render(
                folder, latents, size, replace(renderer)
            )  # what it computes for rendering is not kept
        except BaseException:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
            withdraw_claim(folder, FILES)
            raise
        write_complete(folder / NOTE, json.dumps(description | {SUMS: _checksums(buffers)}))
        note_contents(folder, FILES)
    return buffers


def require_room_for_buffers(folder: Path) -> None:
    """Require that :func:`load_geometry_buffers` may write into a folder, before anything is computed.

    Raises:
        InputError: a file that is not ours is in the way.
    """
    require_room(folder, FILES, overwrite=_IS_OURS in _note(folder / NOTE))


def _render(
    folder: Path, latents: CoefficientTable, size: int, renderer: SyntheticRenderer
) -> GeometryBuffers:
    """Render the buffers into the folder's two arrays."""
    columns, count = _columns(latents), len(latents.id)
    distance = reserved_array(folder / "distance.npy", np.dtype(np.uint16), (count, size, size))
    visible = []
    jobs = [(SyntheticPerson(*person), pose, size) for *person, pose in zip(*columns, strict=True)]
    several = count >= POOL_ITEMS
    if several:
        renderer.prepare(colours=False)  # once, and not in every process
    buffers = map_in_processes(_render_job, renderer, jobs, None if several else 1)
    progress = tqdm(buffers, total=count, desc="geometry buffers", disable=not sys.stderr.isatty())
    for item, (item_distance, item_visible) in enumerate(progress):
        distance[item] = item_distance
        visible.append(np.packbits(item_visible))
    distance.flush()
    with complete_or_absent(folder / "visible.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(visible))
    return GeometryBuffers(distance, np.stack(visible))


def _stored(folder: Path, count: int, size: int, sums: Any) -> GeometryBuffers | None:
    """Read the stored buffers; None, and a line on stderr, if their files are damaged.

    ``sums`` are the checksums in the folder's description; None, if it is one of an earlier version, without any.
    """
    try:
        distance = np.load(folder / "distance.npy", allow_pickle=False)
        visible = np.load(folder / "visible.npy", allow_pickle=False)
    except Exception as error:  # NumPy raises many kinds for a broken file
        say(f"{folder}: damaged ({first_line(error)}), rendered again")
        return None
    fits = distance.shape == (count, size, size) and visible.ndim == 2 and len(visible) == count
    if not fits or distance.dtype != np.uint16 or visible.dtype != np.uint8:
        say(f"{folder}: does not fit its description, rendered again")
        return None
    buffers = GeometryBuffers(distance, visible)
    if sums is not None and sums != _checksums(buffers):
        say(f"{folder}: damaged (its numbers are not those that were written), rendered again")
        return None
    return buffers


def _checksums(buffers: GeometryBuffers) -> list[int]:
    return [checksum(buffers.distance), checksum(buffers.visible)]


def geometry_description(latents: CoefficientTable, size: int, head: FaceMesh) -> dict[str, Any]:
    """Describe the data from which geometry buffers (distance maps and visible vertices) are rendered.

    The description has the number of images, sizes and checksums.

    Raises:
        InputError: the data set has no appearance latents (photographs), so hair and clothes are unknown.
    """
    return {
        "count": len(latents.id),
        "size": size,
        "steps": DEPTH_STEPS,
        "checksum": float(latents.exp.abs().sum()),
        "latents_sha256": sha256(column.tobytes() for column in _columns(latents)),
        "face_model": OPEN_FACE_MODEL,
        "coefficients_sha256": head.coefficients_sha256(),
    }


def _columns(latents: CoefficientTable) -> tuple[np.ndarray, ...]:
    """Return identity, expression and appearance latents and the poses, from which the images are rendered."""
    if latents.noise is None:
        raise InputError("geometry buffers need synthetic data: every .mat file must hold 'noise'")
    return latents.id.numpy(), latents.exp.numpy(), latents.noise.numpy(), latents.pose.numpy()


def _note(note: Path) -> dict[str, Any]:
    """Return the description of the data from which a folder was made; empty without one, or with an unfinished one."""
    try:
        description = json.loads(note.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return description if isinstance(description, dict) else {}


Job = tuple[SyntheticPerson, np.ndarray, int]
"""Arguments of :func:`render_geometry` after the renderer: person, (pitch, yaw), image size."""


def _render_job(renderer: SyntheticRenderer, job: Job) -> tuple[np.ndarray, np.ndarray]:
    return render_geometry(renderer, *job)


def render_geometry(
    renderer: SyntheticRenderer, person: SyntheticPerson, pose: Float[np.ndarray, "2"], size: int
) -> tuple[UInt16[np.ndarray, "size size"], Bool[np.ndarray, " vertex"]]:
    """Render the distance map and the visible vertices of one image.

    Args:
        renderer: the head's geometry and the appearance prior.
        person: latents of the image.
        pose: (pitch, yaw) of the camera, radians relative to frontal.
        size: height and width of the image in pixels.

    Returns:
        The distance from the camera along each pixel's ray, in 1 / DEPTH_STEPS world units (0: the background shows),
        and whether the camera sees each vertex of the face model.
    """
    appearance = renderer.prior.appearance(person.z_id, person.z_noise)
    surface = person_surface(renderer.head, renderer.fields, person.z_id, person.z_exp, appearance)
    strands = person_strands(renderer, surface, appearance)
    pitch, yaw = torch.from_numpy(np.asarray(pose, np.float64))[:, None]
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=size)
    rasterized = rasterize_surface(surface, renderer.head.world_offset, camera)
    hair = draw_strands(strands, None, camera, renderer.head.world_offset, rasterized.nearest)
    solid, in_hair = rasterized.triangle >= 0, hair.inverse_depth > 0
    inverse_depth = np.where(in_hair, hair.inverse_depth, np.where(solid, rasterized.nearest, 0))
    visible = visible_corners(surface.triangles, rasterized.triangle[solid & ~in_hair], len(surface.vertices))
    return distance_map(inverse_depth, camera), visible[: len(renderer.head.parts.part)]  # without glasses


def distance_map(
    inverse_depth: Float[np.ndarray, "size size"], camera: Camera
) -> UInt16[np.ndarray, "size size"]:
    """Convert inverse depths to distances along each pixel's ray, in 1 / DEPTH_STEPS world units.

    Where there is no surface, the result is 0.

    Args:
        inverse_depth: 1 / distance along the camera's axis at every pixel, world units; 0 where there is no surface.
        camera: the camera.
    """
    rays = camera_frame_rays(camera)
    depth = np.where(inverse_depth > 0, 1.0 / np.maximum(inverse_depth, 1e-6), 0.0)
    distance = depth * np.linalg.norm(rays, axis=-1) * DEPTH_STEPS + 0.5
    return np.where(inverse_depth > 0, distance, 0).astype(np.uint16)
