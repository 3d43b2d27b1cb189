"""Figure of a driven face: a generated face makes the expressions of another face, the driver.

The figure is a video that shows both faces side by side, and an image with some frames of the video. The driver is a
folder of ``.mat`` files with the face coefficients of a video's frames, or one file with all frames. Each frame shows
the driver as the image with the name of the ``.mat`` file if the folder has one, else as the landmarks of the ``.mat``
file, else as bars that show the expression coefficients.
"""

import os
from functools import lru_cache
from glob import escape
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw

from anifacegan.evaluation.figures.config import DrivingConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, Pixels
from anifacegan.evaluation.figures.settings import load_figure_model, selected_expressions
from anifacegan.face_model.coefficient_rows import read_rows
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.trajectories import (
    Expression,
    Trajectory,
    planned_trajectory,
    requested_expressions,
)
from anifacegan.geometry.cameras import from_lm68
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import INK, WHITE
from anifacegan.rendering.model import Model
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError, warnings_in_one_line
from anifacegan.runtime.image_files import is_image_file, read_image
from anifacegan.runtime.mat_files import is_mat_file

STROKES = (
    (0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False),
    (36, 42, True), (42, 48, True), (48, 60, True), (60, 68, True),
)  # fmt: skip
"""Lines through the iBUG landmarks of jaw, brows, nose, eyes and lips: index of the first landmark, index after the
last one, and whether the line is closed."""
BAR_COLOUR = (90, 130, 190)
MAX_SHEET_FRAMES = 8
"""Largest number of frames on the contact sheet."""


def draw(config: DrivingConfig) -> Drawing:
    """Draw a video of a generated face that makes the expressions of another face, side by side with that face, and an
    image with up to eight of its frames.
    """
    model = load_figure_model(config)
    expressions, trajectory = driving_sequence(model, config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    by_label = {expression.label: expression for expression in expressions}
    frames = []
    for k in range(len(trajectory)):
        face = renderer.pixels(
            seed, trajectory.z_exp[k], yaw=float(trajectory.yaw[k]), pitch=float(trajectory.pitch[k])
        )
        driver = driver_image(by_label[trajectory.labels[k]], trajectory.z_exp[k], config.size)
        frames.append((driver, face))
    selected = np.unique(np.linspace(0, len(frames) - 1, MAX_SHEET_FRAMES).round().astype(int))
    rows = [
        SheetRow("driver", [frames[k][0] for k in selected]),
        SheetRow(f"seed {seed}", [frames[k][1] for k in selected]),
    ]
    return Drawing(
        contact_sheet([trajectory.labels[k] for k in selected], rows),
        {
            "model": model_record(model),
            "seed": seed,
            "frames": [
                {"expression": label, "yaw": round(float(yaw), 6), "pitch": round(float(pitch), 6)}
                for label, yaw, pitch in zip(trajectory.labels, trajectory.yaw, trajectory.pitch, strict=True)
            ],
            "fps": config.fps,
        },
        {".mp4": lambda path: write_video(path, (np.hstack(pair) for pair in frames), config.fps)},
    )


def check(config: DrivingConfig) -> None:
    """Read the sequence to follow, if one is named.

    Raises:
        InputError: see :func:`driving_sequence`.
    """
    if config.driving is not None:
        driving_sequence(load_figure_model(config), config)


def driving_sequence(model: Model, config: DrivingConfig) -> tuple[list[Expression], Trajectory]:
    """Read the expressions that the generated face shall make, and plan the expression and camera of every frame.

    Raises:
        InputError: the folder holds no .mat files, or one that does not fit the model.
    """
    try:
        drive = DriveConfig(
            expression=os.path.join(
                os.curdir, str(config.driving)
            ),  # a path, though it may be called as a name is
            frames=config.frames or (48 if config.driving is None else None),
            yaw=DriveConfig.yaw if config.poses else config.yaw,
            pose_from_mat=config.poses,
            pitch_offset=config.pitch_offset,
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    if config.driving is None:
        expressions, is_sequence = selected_expressions(model, config), False
    elif not config.driving.exists():
        raise InputError(f"{config.driving}: no such folder or file, expected .mat files or blendshapes")
    else:
        with warnings_in_one_line():
            expressions, is_sequence = requested_expressions(drive, model.expressions)
    return expressions, planned_trajectory(drive, model.expressions, expressions, is_sequence)


def driver_image(expression: Expression, z_exp: Float[np.ndarray, "64"], size: int) -> Pixels:
    """Draw the driver (the face whose expression is followed) in one frame as a square image of ``size`` pixels.

    It is the driver's own image, else its landmarks, else its expression coefficients ``z_exp`` as bars.
    """
    if expression.path is None:
        return coefficient_bars(z_exp, size)
    folder, stem = expression.path.parent, expression.path.stem
    images = sorted(path for path in folder.glob(f"{escape(stem)}.*") if is_image_file(path.name))
    if images and images[0].stem == stem:
        return _square_image(images[0], size)
    landmarks = _landmarks(expression.path) if is_mat_file(expression.path.name) else None
    if landmarks is None or expression.frame >= len(landmarks):
        return coefficient_bars(z_exp, size)
    return landmark_strokes(landmarks[expression.frame], size)


@lru_cache(maxsize=1)
def _landmarks(path: Path) -> Float[np.ndarray, "frame 68 2"] | None:
    """Read the landmarks of a .mat file; None if it has none, as a file of the expression alone."""
    return read_rows(path, (), ("lm68",)).arrays.get("lm68")


def landmark_strokes(lm68: Float[np.ndarray, "68 2"], size: int) -> Pixels:
    """Draw a face as lines through its 68 landmarks in a square image of ``size`` pixels.

    ``lm68`` are pixels (x right, y down) of a 224 px image, as in a coefficient file (.mat).
    """
    image = Image.new("RGB", (2 * size, 2 * size), WHITE)
    pixels = from_lm68(torch.from_numpy(lm68)[None], 2 * size)[0].numpy()
    for first, end, closed in STROKES:
        points = [tuple(point) for point in pixels[first:end].tolist()]
        ImageDraw.Draw(image).line(points + points[:1] * closed, INK, width=max(2, size // 50), joint="curve")
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def coefficient_bars(z_exp: Float[np.ndarray, "64"], size: int) -> Pixels:
    """Draw a bar for each expression coefficient, up or down from the middle of a square image of ``size`` pixels;
    coefficients 3 and -3 give half of the longest possible bar.
    """
    image = np.full((size, size, 3), WHITE, np.uint8)
    column = np.arange(size) * len(z_exp) // size
    height = np.arctan(z_exp[column]) / np.arctan(3.0)
    above = (size - 1) / 2 - np.arange(size)[:, None]
    filled = (above * height >= 0) & (np.abs(above) <= 0.45 * size * np.abs(height))
    image[filled] = BAR_COLOUR
    return image


def _square_image(path: Path, size: int) -> Pixels:
    """Read an image file, crop its central square, and resize this to ``size`` pixels."""
    try:
        pixels = read_image(path, "RGB")
    except OSError as error:
        raise InputError(f"{path}: not a readable image ({error})") from None
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


FIGURE = FigureKind(
    "driving",
    "Driven by a sequence",
    "A generated face follows the expressions, and with --poses the head poses, of a driving sequence; driving.mp4 is "
    "the video. The driver is shown by its image, its landmarks or its expression coefficients.",
    draw,
    check,
)
