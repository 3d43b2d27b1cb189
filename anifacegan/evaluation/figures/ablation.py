"""Figure of the training ablation: the metrics of models that were trained without some terms of the loss.

The numbers are read from the JSON file of ``anifacegan ablate``: name of the training variant -> metric -> number.
"""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anifacegan.evaluation.figures.config import AblationConfig
from anifacegan.evaluation.figures.figure import Drawing, FigureKind
from anifacegan.evaluation.figures.panels import Pixels
from anifacegan.rendering.contact_sheet import FONT_PX, GAP_PX
from anifacegan.rendering.images import INK, WHITE
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.structured_text import read_json

BAR, RULE = (176, 205, 230), (200, 200, 200)
ROW_PX, BAR_PX = FONT_PX + 2 * GAP_PX, 90

Table = dict[str, dict[str, float | None]]
"""Name of a training variant -> metric -> number, or None if the metric could not be measured."""


def draw(config: AblationConfig) -> Drawing:
    """Draw the results of an ablation, the metrics of models that were trained without some of the losses, as a table.

    There is a row for each trained model and a column for each metric; ``config`` names the file with the results.
    """
    table = check(config)
    text = markdown(table)
    return Drawing(
        table_image(table), {"table": table}, {".md": lambda path: write_complete(path, text)}, text
    )


def check(config: AblationConfig) -> Table:
    """Read the results, which the figure must not replace.

    Raises:
        InputError: it would, or see :func:`read_table`.
    """
    if config.results.resolve() == (config.out / "ablation.json").resolve():
        raise InputError(
            f"out: {config.out} holds the results, which the figure would overwrite, expected another"
        )
    return read_table(config.results)


def read_table(path: Path) -> Table:
    """Read the numbers of an ablation: training variant (which losses were left out) -> metric -> number.

    Raises:
        InputError: the file is missing, is not JSON, or does not map variants to metrics to numbers.
    """
    content = read_json(path, "the results of `anifacegan ablate`")
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: holds no variants, expected variant -> measure -> number")
    table: Table = {}
    for variant, row in content.items():
        if not isinstance(row, dict) or not row:
            raise InputError(f"{path}: variant '{variant}' holds no measures, expected measure -> number")
        for measure, value in row.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise InputError(
                    f"{path}: '{measure}' of '{variant}' is {json.dumps(value)}, expected a number"
                )
        table[variant] = {name: value if _is_finite(value) else None for name, value in row.items()}
    return table


def measures(table: Table) -> list[str]:
    """Return the names of the metrics in an ablation's table, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in table.values() for name in row))


def markdown(table: Table) -> str:
    """Format the numbers of an ablation as a Markdown table: a row for each training variant, a column for each
    metric.
    """
    names = measures(table)
    rows = [[variant, *(_text(row.get(name)) for name in names)] for variant, row in table.items()]
    return markdown_table(["variant", *names], rows) + "\n"


def table_image(table: Table) -> Pixels:
    """Draw the numbers of an ablation as a table with a bar behind each number; the longest bar of a column belongs to
    its largest number.
    """
    names, font = measures(table), ImageFont.load_default(FONT_PX)
    first = math.ceil(max(font.getlength(text) for text in ("variant", *table))) + 3 * GAP_PX
    widths = [max(BAR_PX, math.ceil(font.getlength(name))) + 2 * GAP_PX for name in names]
    lefts = first + np.cumsum([0, *widths])
    image = Image.new("RGB", (int(lefts[-1]) + GAP_PX, ROW_PX * (len(table) + 1) + GAP_PX), WHITE)
    draw = ImageDraw.Draw(image)
    draw.text((GAP_PX, ROW_PX / 2), "variant", INK, font, anchor="lm")
    for name, left in zip(names, lefts[:-1], strict=True):
        draw.text((left, ROW_PX / 2), name, INK, font, anchor="lm")
    for k, (variant, row) in enumerate(table.items(), start=1):
        top = k * ROW_PX
        draw.line([(GAP_PX, top), (image.width - GAP_PX, top)], RULE)
        draw.text((GAP_PX, top + ROW_PX / 2), variant, INK, font, anchor="lm")
        for name, left in zip(names, lefts[:-1], strict=True):
            value = row.get(name)
            largest = max(abs(other.get(name) or 0.0) for other in table.values())
            if value:
                length = round(BAR_PX * abs(value) / largest)
                draw.rectangle([(left, top + 4), (left + length, top + ROW_PX - 4)], BAR)
            draw.text((left + 4, top + ROW_PX / 2), _text(value), INK, font, anchor="lm")
    return np.asarray(image)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


FIGURE = FigureKind(
    "ablation",
    "Ablation of the loss terms",
    "Metrics of the same training with all imitation terms (full), without the term that a row names, and without all "
    "of them (none). Bars compare the numbers of a column.",
    draw,
    check,
)
