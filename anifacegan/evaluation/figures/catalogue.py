"""Catalogue of all figures in the order in which they are shown, their table for the docs, and an HTML page."""

import html
from pathlib import Path

from anifacegan.evaluation.figures import (
    ablation,
    deformation,
    depth_normals,
    disentanglement,
    driving,
    expression_views,
    expressions,
    identities,
    interpolation,
    manifolds,
    mesh,
    truncation,
)
from anifacegan.evaluation.figures.config import PageConfig
from anifacegan.evaluation.figures.figure import FigureKind
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.output_folders import filled_when_complete
from anifacegan.runtime.structured_text import read_json

FIGURES: tuple[FigureKind, ...] = (
    expression_views.FIGURE,
    identities.FIGURE,
    expressions.FIGURE,
    interpolation.FIGURE,
    disentanglement.FIGURE,
    truncation.FIGURE,
    deformation.FIGURE,
    manifolds.FIGURE,
    depth_normals.FIGURE,
    mesh.FIGURE,
    driving.FIGURE,
    ablation.FIGURE,
)
"""All kinds of figures, in the order of the page and of the table."""
PAGE = "index.html"
STYLE = "body{font:16px sans-serif;max-width:75em;margin:2em auto;padding:0 1em}img,video{max-width:100%;display:block}"


def markdown_catalogue() -> str:
    """Format the Markdown table of all figures for the docs: name and caption."""
    return markdown_table(["figure", "shows"], [[f"`{kind.name}`", kind.caption] for kind in FIGURES])


def write_page(config: PageConfig) -> Path:
    """Write a page with all figures of a folder, and return its path.

    Raises:
        InputError: the folder has no figures, or the JSON file of one is not readable.
    """
    sections = [
        _section(config.out, kind) for kind in FIGURES if (config.out / f"{kind.name}.json").is_file()
    ]
    if not sections:
        raise InputError(f"{config.out}: holds no figures, expected those that `anifacegan figure` writes")
    head = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Figures</title><style>{STYLE}</style>'
    )
    with filled_when_complete(config.out, config.overwrite) as folder:
        page = "\n".join([head, "<h1>Figures</h1>", *sections, "</html>", ""])
        write_complete(folder / PAGE, page)
    return config.out / PAGE


def _section(out: Path, kind: FigureKind) -> str:
    path = out / f"{kind.name}.json"
    record = read_json(path, "the record of a figure")
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise InputError(f"{path}: not the record of a figure, expected one that `anifacegan figure` writes")
    lines = [f"<h2>{html.escape(kind.title)}</h2>", f"<p>{html.escape(kind.caption)}</p>"]
    for name in map(html.escape, files):
        if name.endswith(".png"):
            lines.append(f'<img src="{name}" alt="{html.escape(kind.title)}">')
        elif name.endswith(".mp4"):
            lines.append(f'<video src="{name}" controls loop muted></video>')
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in map(html.escape, [*files, path.name]))
    about = record.get("model")
    model = about.get("name") if isinstance(about, dict) else None
    lines.append(f"<p>{f'Model: {html.escape(str(model))}. ' if model else ''}Files: {links}.</p>")
    return "\n".join(lines)
