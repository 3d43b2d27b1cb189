"""The valid files that mutations change, written once."""

import dataclasses
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from anifacegan.avatars.avatar import Avatar, AvatarCard, save_avatar
from anifacegan.face_model.coefficients import BFM, ExpressionBasis
from anifacegan.models.checkpoints import save_checkpoint
from anifacegan.rendering.model import Model, load_model
from anifacegan.rendering.video import write_video
from anifacegan.training.snapshots import save_snapshot
from tests.fixtures.flat_avatars import bumpy_layer, layered_mesh_of
from tests.fixtures.released_layout import write_released
from tests.fixtures.small_models import UNITS, small_checkpoint
from tests.fixtures.tiny_bfm import write_tiny_bfm
from tests.fixtures.tiny_head import write_tiny_file

HEADER = "anifacegan.avatar"


@dataclass(frozen=True)
class World:
    """A folder with one valid file of every kind."""

    folder: Path

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    @cached_property
    def model(self) -> Model:
        """The small model, loaded."""
        return load_model(self.model_folder)

    @cached_property
    def card(self) -> dict[str, Any]:
        return yaml.safe_load((self.model_folder / "card.yaml").read_text())

    @cached_property
    def coefficients(self) -> dict[str, Any]:
        """Arrays of a .mat file of one face."""
        rng = np.random.default_rng(0)
        sizes = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
        arrays = {key: 0.1 * rng.standard_normal((1, size)).astype(np.float32) for key, size in sizes.items()}
        lm68 = rng.uniform(40, 180, (1, 68, 2)).astype(np.float32)
        return arrays | {"lm68": lm68, "face_model": "anifacegan-open-4"}

    @cached_property
    def people(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(1)
        return {name: rng.standard_normal((2, 80)).astype(np.float32) for name in ("z_id", "z_noise")}

    @cached_property
    def face_arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "face_model.npz") as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def bfm_arrays(self) -> dict[str, np.ndarray]:
        content = scipy.io.loadmat(self.folder / "bfm.mat")
        return {name: value for name, value in content.items() if not name.startswith("__")}

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        return arrays_of(self.model_folder / "model.safetensors")[0]

    @cached_property
    def avatar(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and header of an avatar file."""
        arrays, metadata = arrays_of(self.folder / "avatar.safetensors")
        return arrays, json.loads(metadata[HEADER])

    @cached_property
    def released(self) -> dict[str, Any]:
        """Contents of the released layout's files by their names."""
        root = self.folder / "released"
        return {
            path.relative_to(root).as_posix(): torch.load(path, weights_only=True)
            for path in root.rglob("*.pth")
        }

    @cached_property
    def image(self) -> np.ndarray:
        return np.random.default_rng(2).integers(0, 256, (16, 16, 3)).astype(np.uint8)

    @cached_property
    def film(self) -> bytes:
        """A film of three frames of 16 px."""
        write_video(self.folder / "film.mp4", iter([self.image] * 3), 25)
        return (self.folder / "film.mp4").read_bytes()

    def image_bytes(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, kind)
        return buffer.getvalue()

    def zip_bytes(self, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        """A data set of two images in an archive."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for k in range(2):
                archive.writestr(f"{k}.png", self.image_bytes("PNG"))
                archive.writestr(f"{k}.mat", mat_bytes(self.coefficients))
        return buffer.getvalue()


def write_world(folder: Path) -> World:
    """Write one valid file of every kind into a folder."""
    checkpoint = small_checkpoint()
    save_checkpoint(folder / "model", checkpoint)
    write_tiny_file(folder / "face_model.npz")
    write_tiny_bfm(folder / "bfm.mat")
    write_released(folder / "released", checkpoint.generator)
    save_avatar(folder / "avatar.safetensors", _avatar())
    (folder / "run").mkdir()
    log, fixed = {"totals": {}, "count": 0}, {"schedule.seed": 0}
    content = {"step": 3, "fixed": fixed, "log": log, "average": {}, "facts": {}}
    save_snapshot(folder / "run", 3, content, keep=2)
    world = World(folder)
    np.savez(folder / "people.npz", **world.people)
    (folder / "smile.mat").write_bytes(mat_bytes(world.coefficients))
    return world


def _avatar() -> Avatar:
    rng = np.random.default_rng(0)
    mesh = layered_mesh_of(bumpy_layer(0.06, rng), bumpy_layer(0.02, rng))
    units = np.random.default_rng(1).standard_normal((64, len(UNITS))).astype(np.float32)
    mesh = dataclasses.replace(
        mesh,
        ray_sampling=dataclasses.replace(mesh.ray_sampling, samples=33),
        blendshapes=0.01 * rng.standard_normal((2, 2, len(mesh.vertices), 3)).astype(np.float32),
        texel_offsets=rng.standard_normal((2, 2, 9, 2)).astype(np.float32),
        z_exp=units.T[:2].copy(),
    )
    card = AvatarCard(
        "someone", "small", BFM, 0.7, UNITS[:2], presets={"gape": {"jawOpen": 0.5}}, expression_units=UNITS
    )
    return Avatar(mesh, card, ExpressionBasis(UNITS, units))


def arrays_of(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file."""
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def avatar_bytes(arrays: dict[str, np.ndarray], header: Any) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {HEADER: text})


def mat_bytes(arrays: dict[str, Any], **options: bool) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, **options)
    return buffer.getvalue()
