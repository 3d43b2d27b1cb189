"""From a model to pictures on disk: people turn their heads while an expression comes.

The output folder is filled only when the last picture is there.
"""

import dataclasses
import json
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from anifacegan.avatars.avatar import AvatarPlayer
from anifacegan.cli.render.plan import FilmPlan, Person, RenderConfig, Subject, plan_film
from anifacegan.cli.render.renderer_choice import Played, RendererChoice, Wanted, picture_renderer
from anifacegan.models.latent_files import write_people
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.frame import FrameRenderer, Picture
from anifacegan.rendering.images import depth_levels, over_white, straight_alpha, to_bytes, write_png
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import MANIFEST, filled_when_complete, read_image

__all__ = ["RenderConfig", "run"]

SHEET = "sheet.png"
DEPTH_BEYOND = 4 / 3
"""Depth maps reach this much farther than the march, to the background plane of a turned head."""


def run(config: RenderConfig, home: Path | None = None) -> dict[str, Any]:
    """Write the pictures; returns the manifest. ``home``: see :func:`anifacegan.film_plan.plan_film`.

    Raises:
        InputError: anything wrong with the configuration, the files it names or the disk; nothing is written then.
    """
    started = time.perf_counter()
    plan = plan_film(config, home)
    ready = time.perf_counter()
    with filled_when_complete(config.out) as folder:
        cells = len(plan.sheet_yaw) * len(plan.sheet_expressions)
        count = len(plan.people) * (len(plan.trajectory) + cells)
        with tqdm(total=count, unit="frame", disable=None) as progress:
            choice = None if isinstance(plan.model, AvatarPlayer) else RendererChoice(plan.model, config.renderer)
            entries: list[dict[str, Any]] = []
            rows: list[SheetRow] = []
            sheet_seconds = 0.0
            for person in plan.people:
                renderer, facts = _chosen_renderer(config, plan, person, choice)
                entries.append(_render_person(folder, config, plan, person, renderer, progress) | facts)
                rendered = time.perf_counter()
                if config.grid:
                    rows += _sheet_rows(config, plan, person, renderer, choice, progress)
                sheet_seconds += time.perf_counter() - rendered
            if config.grid:
                labels = [expression.label for expression in plan.sheet_expressions]
                write_png(folder / SHEET, contact_sheet(labels, rows))
        ended = time.perf_counter()
        seconds = {"load": ready - started, "frames": ended - ready - sheet_seconds, "sheet": sheet_seconds}
        manifest = _manifest(folder, config, plan, entries, seconds | {"total": ended - started})
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str) + "\n")
    return manifest


def _chosen_renderer(
    config: RenderConfig, plan: FilmPlan, person: Person, choice: RendererChoice | None
) -> tuple[FrameRenderer, dict[str, Any]]:
    """Who draws a person, and what the manifest says of that."""
    if isinstance(plan.model, AvatarPlayer):
        return Played(plan.model), {"renderer": "baked"}
    assert choice is not None and person.codes is not None
    return choice.of(person.name, person.codes, config.psi, Wanted(plan.trajectory, config.size))


def _render_person(
    folder: Path, config: RenderConfig, plan: FilmPlan, person: Person, renderer: FrameRenderer, progress: tqdm
) -> dict[str, Any]:
    """Frames, depth maps, film and codes of one person; returns the manifest's entry."""
    trajectory = plan.trajectory
    digits = max(3, len(str(len(trajectory) - 1)))
    (folder / person.name).mkdir()
    entry: dict[str, Any] = {"name": person.name, "seed": person.seed}
    if person.codes is not None:
        entry["codes"] = f"{person.name}.npz"
        write_people(folder / entry["codes"], *person.codes)
    frames = []
    for k in range(len(trajectory)):
        view = (float(trajectory.yaw[k]), float(trajectory.pitch[k]), config.size)
        picture = _picture(config, renderer, person, trajectory.z_exp[k], *view)
        frame = {
            "file": f"{person.name}/frame_{k:0{digits}}.png",
            "yaw": round(float(trajectory.yaw[k]), 6),
            "pitch": round(float(trajectory.pitch[k]), 6),
            "expression": trajectory.labels[k],
            "strength": round(float(trajectory.strength[k]), 6),
        }
        write_png(folder / frame["file"], _pixels(picture, config.transparent))
        if config.depth:
            frame["depth"] = f"{person.name}/depth_{k:0{digits}}.png"
            write_png(folder / frame["depth"], depth_levels(picture.depth, *_depth_range(plan.model)))
        frames.append(frame)
        progress.update()
    if config.video:
        entry["video"] = f"{person.name}.mp4"
        images = (_on_paper(read_image(folder / frame["file"])) for frame in frames)
        write_video(folder / entry["video"], images, config.fps)
    return entry | {"frames": frames}


def _sheet_rows(
    config: RenderConfig,
    plan: FilmPlan,
    person: Person,
    film: FrameRenderer,
    choice: RendererChoice | None,
    progress: tqdm,
) -> list[SheetRow]:
    """One person's part of the contact sheet: views from top to bottom, expressions from left to right.

    Pictures are smaller than the frames, so cheap.

    For expressions beyond the film's, baking would not pay: where there are networks, they draw these.
    """
    size = min(config.size, config.grid_size)
    rows = []
    for k, yaw in enumerate(plan.sheet_yaw):
        cells = []
        for expression in plan.sheet_expressions:
            asked = (expression.z_exp, float(yaw), 0.0)
            renderer = film
            if choice is not None and person.codes is not None:
                renderer = picture_renderer(film, choice.exact(person.codes, config.psi), *asked)
            picture = _picture(config, renderer, person, *asked, size)
            cells.append(_on_paper(_pixels(picture, config.transparent)))
            progress.update()
        rows.append(SheetRow(f"{person.name}\nyaw {yaw:+.2f}", cells, starts_group=k == 0))
    return rows


def _picture(
    config: RenderConfig,
    renderer: FrameRenderer,
    person: Person,
    z_exp: Float[np.ndarray, "64"],
    yaw: float,
    pitch: float,
    size: int,
) -> Picture:
    picture = renderer.picture(z_exp, yaw, pitch, size)
    if not picture.rgb.isfinite().all():
        raise InputError(f"{config.model}: {person.name} has colours that are not finite; weights or codes are broken")
    return picture


def _pixels(picture: Picture, transparent: bool) -> np.ndarray:
    return to_bytes(straight_alpha(picture.foreground_rgb, picture.foreground) if transparent else picture.rgb)


def _on_paper(pixels: np.ndarray) -> np.ndarray:
    return over_white(pixels) if pixels.shape[-1] == 4 else pixels


def _depth_range(model: Subject) -> tuple[float, float]:
    """World units at the ends of the depth maps."""
    march = model.avatar.march if isinstance(model, AvatarPlayer) else model.generator.config.march
    return march.near, march.near + DEPTH_BEYOND * (march.far - march.near)


def _manifest(
    folder: Path, config: RenderConfig, plan: FilmPlan, people: list[dict], seconds: dict[str, float]
) -> dict[str, Any]:
    model = plan.model
    near, far = _depth_range(model)
    manifest: dict[str, Any] = {
        "model": {"name": model.card.name, "folder": config.model, "face_model": model.card.face_model},
        "settings": dataclasses.asdict(config),
        "people": people,
    }
    if config.grid:
        labels = [expression.label for expression in plan.sheet_expressions]
        manifest["sheet"] = {"file": SHEET, "yaw": plan.sheet_yaw.tolist(), "expressions": labels}
    if config.depth:
        manifest["depth"] = {"at_0": near, "at_65535": far, "unit": "world, distance from the camera"}
    return manifest | {
        "files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "device": str(model.device if isinstance(model, AvatarPlayer) else model.generator.device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "anifacegan": _own_version()},
    }


def _own_version() -> str:
    try:
        return version("anifacegan")
    except PackageNotFoundError:
        return "not installed"
