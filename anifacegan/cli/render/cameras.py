"""Writes the cameras of rendered frames beside them, for programs that reconstruct or train from views."""

import json
from pathlib import Path

from anifacegan.avatars.avatar import Avatar
from anifacegan.cli.render.config import RenderConfig
from anifacegan.cli.render.plan import Subject, VideoPlan
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.rendering.camera_files import (
    COLMAP_FILES,
    ViewCamera,
    colmap_texts,
    eg3d_label,
    transforms_json,
)

LABELS = "dataset.json"
"""Name of EG3D's file of labels."""
_TRANSFORMS, _COLMAP = "transforms.json", "colmap"
CAMERA_FILES = (_TRANSFORMS, *(f"{_COLMAP}/{name}" for name in COLMAP_FILES))
"""Names of the files that are written into each person's folder."""


def ray_sampling_of(model: Subject) -> RaySamplingConfig:
    """Return the ray sampling of a model or an avatar, which has the field of view."""
    if isinstance(model, Avatar):
        return model.layered_mesh.ray_sampling
    return model.generator.config.ray_sampling


def frame_camera(config: RenderConfig, model: Subject, *, yaw: float, pitch: float) -> ViewCamera:
    """Return the camera of a frame; ``yaw`` and ``pitch`` are radians from frontal."""
    return ViewCamera(yaw=yaw, pitch=pitch, size=config.size, fov_deg=ray_sampling_of(model).fov_deg)


def frame_name(kind: str, index: int, count: int) -> str:
    """Return the file name of one of ``count`` images of a kind, with zeros in front of its index."""
    return f"{kind}_{index:0{max(3, len(str(count - 1)))}}.png"


def write_cameras(folder: Path, config: RenderConfig, plan: VideoPlan) -> None:
    """Write each person's transforms.json and COLMAP files, and EG3D's dataset.json of all people.

    ``folder`` holds a folder of frames for each person.
    """
    trajectory = plan.trajectory
    count = len(trajectory)
    files = [frame_name("frame", k, count) for k in range(count)]
    cameras = [
        frame_camera(config, plan.model, yaw=float(trajectory.yaw[k]), pitch=float(trajectory.pitch[k]))
        for k in range(count)
    ]
    labels = []
    for person in plan.people:
        own = folder / person.name
        (own / _TRANSFORMS).write_text(json.dumps(transforms_json(files, cameras), indent=1) + "\n")
        (own / _COLMAP).mkdir()
        for name, text in colmap_texts(files, cameras).items():
            (own / _COLMAP / name).write_text(text)
        labels += [
            [f"{person.name}/{file}", eg3d_label(camera)] for file, camera in zip(files, cameras, strict=True)
        ]
    (folder / LABELS).write_text(json.dumps({"labels": labels}) + "\n")
