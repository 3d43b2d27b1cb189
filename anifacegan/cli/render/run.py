"""Renders a plan into a folder: frames, depth maps, videos, a contact sheet and manifest.json.

The output folder is changed only after the last image has been rendered.
"""

import dataclasses
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from anifacegan import __version__
from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.card import SYNTHETIC
from anifacegan.cli.render.cameras import (
    CAMERA_FILES,
    LABELS,
    frame_camera,
    frame_name,
    ray_sampling_of,
    write_cameras,
)
from anifacegan.cli.render.config import RenderConfig
from anifacegan.cli.render.plan import RenderIdentity, Subject, VideoPlan, plan_video
from anifacegan.cli.render.renderer_choice import AvatarRenderer, RendererChoice, VideoRequest, image_renderer
from anifacegan.models.latent_files import write_people
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.frame import FrameRenderer, RenderedImage
from anifacegan.rendering.images import depth_levels, over_white, straight_alpha, to_bytes, write_png
from anifacegan.rendering.video import write_video
from anifacegan.runtime.cpu import cores, jobs_only
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.locks import LOCK
from anifacegan.runtime.output_folders import MANIFEST, MARKER, filled_when_complete, require_room

SHEET = "sheet.png"
DEPTH_BEYOND = 4 / 3
"""Range of the depth maps divided by that of the ray samples: it also contains the background plane of a turned
head."""


def run(config: RenderConfig) -> dict[str, Any]:
    """Render everything that the configuration asks for into its output folder; return the manifest.

    Raises:
        InputError: the configuration, a file that it names or the disk is at fault; nothing is written then.
    """
    started = time.perf_counter()
    require_room(config.out, _common_files(config), config.overwrite)
    plan = plan_video(config)
    ready = time.perf_counter()
    _require_own_names(plan)
    require_room(config.out, _files(config, plan), config.overwrite)
    with filled_when_complete(config.out, config.overwrite, whole=True) as folder, jobs_only():
        cells = len(plan.sheet_yaw) * len(plan.sheet_expressions)
        count = len(plan.people) * (len(plan.trajectory) + cells)
        with tqdm(total=count, unit="frame", disable=None) as progress:
            choice = None
            if not isinstance(plan.model, Avatar):
                choice = RendererChoice(plan.model, config.renderer, config.antialias)
            entries: list[dict[str, Any]] = []
            rows: list[SheetRow] = []
            sheet_seconds = 0.0
            for person in plan.people:
                renderer, facts = _select_renderer(config, plan, person, choice)
                entries.append(_render_person(folder, config, plan, person, renderer, progress) | facts)
                rendered = time.perf_counter()
                if config.grid:
                    rows += _sheet_rows(config, plan, person, renderer, choice, progress)
                sheet_seconds += time.perf_counter() - rendered
            if config.cameras:
                write_cameras(folder, config, plan)
            if config.grid:
                labels = [expression.label for expression in plan.sheet_expressions]
                write_png(folder / SHEET, contact_sheet(labels, rows), _mark(plan.model))
        ended = time.perf_counter()
        seconds = {"load": ready - started, "frames": ended - ready - sheet_seconds, "sheet": sheet_seconds}
        manifest = _manifest(folder, config, plan, entries, seconds | {"total": ended - started})
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str) + "\n")
    return manifest


def _require_own_names(plan: VideoPlan) -> None:
    """Require that no person, whose folder has the name of the avatar or latents file, is called as a file is, or as
    the output folder or the one above it: the file ``..safetensors`` names the person ``.``.

    Raises:
        InputError: one is.
    """
    for person in plan.people:
        if person.name in (MANIFEST, SHEET, LABELS, MARKER, LOCK, ".", ".."):
            raise InputError(
                f"person {person.name}, named by the avatar or latents file, would have the place of {person.name} "
                "in the output folder; expected another name of that file"
            )


def _files(config: RenderConfig, plan: VideoPlan) -> list[str]:
    """Return the names of all files that will be written, so that one in the way is noticed before anything is
    rendered."""
    named = dict.fromkeys(_common_files(config), True)
    kinds = ["frame", "depth"] if config.depth else ["frame"]
    for person in plan.people:
        named |= {f"{person.name}.npz": person.latents is not None, f"{person.name}.mp4": config.video}
        for kind in kinds:
            names = (frame_name(kind, k, len(plan.trajectory)) for k in range(len(plan.trajectory)))
            named |= {f"{person.name}/{name}": True for name in names}
        named |= {f"{person.name}/{name}": config.cameras for name in CAMERA_FILES}
    return [name for name, is_written in named.items() if is_written]


def _common_files(config: RenderConfig) -> list[str]:
    """Return the names of the files that all people share, which are known before the model is loaded."""
    named = {MANIFEST: True, SHEET: config.grid, LABELS: config.cameras}
    return [name for name, is_written in named.items() if is_written]


def _select_renderer(
    config: RenderConfig, plan: VideoPlan, person: RenderIdentity, choice: RendererChoice | None
) -> tuple[FrameRenderer, dict[str, Any]]:
    """Select the renderer of a person; return it, and what the manifest records of the choice."""
    if isinstance(plan.model, Avatar):
        return AvatarRenderer(plan.model, config.antialias), {"renderer": "baked"}
    assert choice is not None and person.latents is not None
    return choice.select(
        person.name, person.latents, config.truncation, VideoRequest(plan.trajectory, config.size)
    )


def _render_person(
    folder: Path,
    config: RenderConfig,
    plan: VideoPlan,
    person: RenderIdentity,
    renderer: FrameRenderer,
    progress: tqdm,
) -> dict[str, Any]:
    """Write frames, depth maps, video and latents of one person; return the person's entry in the manifest."""
    trajectory = plan.trajectory
    (folder / person.name).mkdir()
    entry: dict[str, Any] = {"name": person.name, "seed": person.seed}
    if person.latents is not None:
        entry["latents"] = f"{person.name}.npz"
        write_people(folder / entry["latents"], *person.latents)
    frames = []
    for k in range(len(trajectory)):
        yaw, pitch = float(trajectory.yaw[k]), float(trajectory.pitch[k])
        image = _image(config, renderer, person, trajectory.z_exp[k], yaw=yaw, pitch=pitch, size=config.size)
        frame = {
            "file": f"{person.name}/{frame_name('frame', k, len(trajectory))}",
            "yaw": round(yaw, 6),
            "pitch": round(pitch, 6),
            "expression": trajectory.labels[k],
            "strength": round(float(trajectory.strength[k]), 6),
        }
        write_png(folder / frame["file"], _pixels(image, config.transparent), _mark(plan.model))
        if config.depth:
            frame["depth"] = f"{person.name}/{frame_name('depth', k, len(trajectory))}"
            write_png(folder / frame["depth"], depth_levels(image.depth, *_depth_range(plan.model)))
        if config.cameras:
            frame["camera"] = frame_camera(config, plan.model, yaw=yaw, pitch=pitch).description()
        frames.append(frame)
        progress.update()
    if config.video:
        entry["video"] = f"{person.name}.mp4"
        images = (_over_white(read_image(folder / frame["file"])) for frame in frames)
        write_video(folder / entry["video"], images, config.fps, _mark(plan.model))
    return entry | {"frames": frames}


def _sheet_rows(
    config: RenderConfig,
    plan: VideoPlan,
    person: RenderIdentity,
    video: FrameRenderer,
    choice: RendererChoice | None,
    progress: tqdm,
) -> list[SheetRow]:
    """Render one person's rows of the contact sheet: a row for each view, a column for each expression.

    If the frames were rendered by an avatar, the avatar renders the images that it was baked for, and the networks
    render all others.
    """
    size = min(config.size, config.grid_size)
    rows = []
    for k, yaw in enumerate(plan.sheet_yaw):
        cells = []
        for expression in plan.sheet_expressions:
            renderer = video
            if choice is not None and person.latents is not None:
                adaptive = choice.adaptive(person.latents, config.truncation)
                renderer = image_renderer(video, adaptive, expression.z_exp, yaw=float(yaw), pitch=0.0)
            image = _image(config, renderer, person, expression.z_exp, yaw=float(yaw), pitch=0.0, size=size)
            cells.append(_over_white(_pixels(image, config.transparent)))
            progress.update()
        rows.append(SheetRow(f"{person.name}\nyaw {yaw:+.2f}", cells, starts_group=k == 0))
    return rows


def _image(
    config: RenderConfig,
    renderer: FrameRenderer,
    person: RenderIdentity,
    z_exp: Float[np.ndarray, "64"],
    *,
    yaw: float,
    pitch: float,
    size: int,
) -> RenderedImage:
    image = renderer.image(z_exp, yaw=yaw, pitch=pitch, size=size)
    if not image.rgb.isfinite().all():
        raise InputError(
            f"{config.model}: {person.name} has colours that are not finite; weights or latents are broken"
        )
    return image


def _pixels(image: RenderedImage, transparent: bool) -> np.ndarray:
    return to_bytes(straight_alpha(image.foreground_rgb, image.foreground) if transparent else image.rgb)


def _over_white(pixels: np.ndarray) -> np.ndarray:
    return over_white(pixels) if pixels.shape[-1] == 4 else pixels


def _depth_range(model: Subject) -> tuple[float, float]:
    """Return the distances from the camera, in world units, at the two ends of the depth maps' range."""
    ray_sampling = ray_sampling_of(model)
    return ray_sampling.near, ray_sampling.near + DEPTH_BEYOND * (ray_sampling.far - ray_sampling.near)


def _mark(model: Subject) -> str | None:
    """Return the text in images and films that says that they are synthetic: of avatars of photographs."""
    return SYNTHETIC if isinstance(model, Avatar) and model.card.is_of_photograph else None


def _manifest(
    folder: Path, config: RenderConfig, plan: VideoPlan, people: list[dict], seconds: dict[str, float]
) -> dict[str, Any]:
    model = plan.model
    near, far = _depth_range(model)
    psi = model.card.psi if isinstance(model, Avatar) else config.truncation
    manifest: dict[str, Any] = {
        "model": {"name": model.card.name, "folder": config.model, "face_model": model.card.face_model},
        "settings": dataclasses.asdict(config) | {"psi": psi},
        "people": people,
    }
    if config.grid:
        labels = [expression.label for expression in plan.sheet_expressions]
        manifest["sheet"] = {"file": SHEET, "yaw": plan.sheet_yaw.tolist(), "expressions": labels}
    if config.depth:
        manifest["depth"] = {"at_0": near, "at_65535": far, "unit": "world, distance from the camera"}
    return manifest | {
        "files": sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.name != MARKER
        ),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "device": str(model.device if isinstance(model, Avatar) else model.generator.device),
        "threads": cores(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "anifacegan": __version__,
        },
    }
