"""Visible vertices of faces in photographs: the vertices of the face model's mesh that the camera sees.

Hair and glasses are unknown, so vertices behind them are counted as visible. For synthetic images, whose hair is known,
see :mod:`anifacegan.data.synthetic.geometry_buffers`. A face takes 29 ms at the Basel Face Model's size, so all faces
of a run are drawn once, by all cores, into a file that later starts and all processes of the run read.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.data.rasterized_mesh import rasterize_mesh, visible_corners
from anifacegan.data.reserved_arrays import checksum, reserved_array
from anifacegan.face_model.face_mesh import FaceMesh, bare_head
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.runtime.errors import say
from anifacegan.runtime.files import sha256, write_complete
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.output_folders import claim, note_contents, require_room
from anifacegan.runtime.processes import map_in_processes

RASTER_PX = 512
"""Height and width of the z-buffer in pixels, for images of any size; a triangle of BFM is then about a pixel large."""
PART = 1024
"""Number of faces after which a drawing is noted as done; an interrupted one goes on from there."""
SUM = "crc32"
"""Key of a finished file's checksum in the note beside it."""
POOL_FACES = 128
"""Smallest number of faces for which several processes are started; one process draws fewer faster."""


@dataclass(frozen=True)
class PosedFaces:
    """Faces of a face model before cameras, with the size of the image in which their visible vertices are found."""

    z_id: Float[Tensor, "face 80"]
    """Identity coefficients."""
    z_exp: Float[Tensor, "face 64"]
    """Expression coefficients."""
    pose: Float[Tensor, "face 2"]
    """(pitch, yaw) of the camera, radians relative to frontal."""
    size: int = RASTER_PX
    """Height and width of the z-buffer in pixels; a larger one shows more vertices."""

    def columns(self) -> tuple[np.ndarray, ...]:
        """Return coefficients and poses as float32 arrays."""
        return tuple(column.cpu().numpy().astype(np.float32) for column in (self.z_id, self.z_exp, self.pose))


def drawn_visibility(mesh: FaceMesh, faces: PosedFaces) -> UInt8[np.ndarray, "face byte"]:
    """Draw which vertices the camera sees of each face, in this process.

    Returns one bit for each vertex (``numpy.packbits``), 1 if it is visible.
    """
    jobs = zip(*faces.columns(), strict=True)
    return np.stack([_packed(mesh, (*job, faces.size)) for job in jobs])


def stored_visibility(
    folder: Path, name: str, mesh: FaceMesh, faces: PosedFaces
) -> UInt8[np.ndarray, "face byte"]:
    """Read which vertices the camera sees of each face from the file NAME.npy in a folder, without loading it at once.

    If the folder lacks the file, or has that of other faces or a damaged one, it is drawn first, on all cores; an
    interrupted drawing goes on. Progress is shown on stderr.

    Raises:
        InputError: the file cannot be written, or one that is not ours is in the way.
    """
    description, count = _description(mesh, faces), len(faces.pose)
    array, note = folder / f"{name}.npy", folder / f"{name}.json"
    shape = (count, -(-len(mesh.mean) // 3 // 8))
    done = _done(note, description) if _fits(array, shape, _noted(note).get(SUM)) else 0
    if done < count:
        claim(folder, [])
        with FolderLock(folder):
            if not done:
                claim(folder, [array.name, note.name], overwrite=_is_ours(note) or None)
                write_complete(
                    note, json.dumps(description | {"done": 0})
                )  # by this, the array is known as ours
                reserved_array(array, np.dtype(np.uint8), shape)
            _draw(array, note, description, mesh, faces, done)
            note_contents(folder, [array.name, note.name])
    return np.load(array, mmap_mode="r", allow_pickle=False)


def require_room_for_visibility(folder: Path, name: str) -> None:
    """Require that :func:`stored_visibility` may write into a folder, before anything is computed.

    Raises:
        InputError: a file that is not ours is in the way.
    """
    require_room(folder, [f"{name}.npy", f"{name}.json"], overwrite=_is_ours(folder / f"{name}.json"))


def _draw(
    array: Path, note: Path, description: dict[str, Any], mesh: FaceMesh, faces: PosedFaces, done: int
) -> None:
    """Draw the faces from number ``done`` on into the array, and note after each part how many are done."""
    bits, count = np.load(array, mmap_mode="r+", allow_pickle=False), len(faces.pose)
    jobs = [(*job, faces.size) for job in zip(*faces.columns(), strict=True)][done:]
    rows = map_in_processes(_packed, mesh, jobs, None if len(jobs) >= POOL_FACES else 1)
    progress = tqdm(rows, total=count, initial=done, desc=array.stem, disable=not sys.stderr.isatty())
    for number, row in enumerate(progress, done):
        bits[number] = row
        if (number + 1) % PART == 0 or number + 1 == count:
            bits.flush()
            finished = {SUM: checksum(bits)} if number + 1 == count else {}
            write_complete(note, json.dumps(description | {"done": number + 1} | finished))


def _description(mesh: FaceMesh, faces: PosedFaces) -> dict[str, Any]:
    """Describe the faces whose visible vertices a file holds."""
    return {
        "count": len(faces.pose),
        "size": faces.size,
        "faces_sha256": sha256(column.tobytes() for column in faces.columns()),
        "coefficients_sha256": mesh.coefficients_sha256(),
        "triangles_sha256": sha256([mesh.triangles.tobytes()]),
    }


def _noted(note: Path) -> dict[str, Any]:
    try:
        content = json.loads(note.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_ours(note: Path) -> bool:
    return "faces_sha256" in _noted(note)


def _done(note: Path, description: dict[str, Any]) -> int:
    """Return how many faces are done, by the note beside the array; 0 if the note is about other faces."""
    noted = _noted(note)
    done = noted.pop("done", 0)
    noted.pop(SUM, None)
    valid = isinstance(done, int) and 0 <= done <= description["count"]
    return done if valid and noted == description else 0


def _fits(array: Path, shape: tuple[int, int], expected: Any) -> bool:
    """Return whether a file holds an array of a shape, with the checksum ``expected``; None: none is known, as while it
    is drawn. Damage is told on stderr."""
    try:
        found = np.load(array, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many kinds for a broken file
        return False
    if found.shape != shape or found.dtype != np.uint8:
        return False
    if expected is None or expected == checksum(found):
        return True
    say(f"{array}: damaged (its numbers are not those that were written), drawn again")
    return False


Job = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Arguments of :func:`visible_vertices` after the mesh."""


def _packed(mesh: FaceMesh, job: Job) -> UInt8[np.ndarray, " byte"]:
    return np.packbits(visible_vertices(mesh, *job))


def visible_vertices(
    mesh: FaceMesh,
    z_id: Float[np.ndarray, "80"],
    z_exp: Float[np.ndarray, "64"],
    pose: Float[np.ndarray, "2"],
    size: int = RASTER_PX,
) -> Bool[np.ndarray, " vertex"]:
    """Mark the vertices of a face that the generator's camera sees: the corners of all visible triangles.

    Args:
        mesh: the mesh of the face model.
        z_id, z_exp: identity and expression coefficients.
        pose: (pitch, yaw) of the camera, radians relative to frontal.
        size: height and width of the z-buffer in pixels.
    """
    vertices = bare_head(mesh, z_id, z_exp)
    pitch, yaw = torch.from_numpy(pose.astype(np.float64))[:, None]
    view = rasterize_mesh(
        vertices, mesh.triangles, mesh.world_offset, orbit_camera(yaw=yaw, pitch=pitch, size=size)
    )
    return visible_corners(mesh.triangles, view.triangle[view.triangle >= 0], len(vertices))
