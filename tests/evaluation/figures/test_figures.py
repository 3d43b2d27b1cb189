"""Every figure from a small model and from released files: made again from its own settings, and right where the answer
is known."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from anifacegan.cli.ablate.config import FULL
from anifacegan.cli.ablate.run import HEADINGS, RESULT, AblationResult
from anifacegan.evaluation.figures import (
    ablation,
    deformation,
    disentanglement,
    driving,
    expression_views,
    identities,
    interpolation,
    mesh,
    truncation,
)
from anifacegan.evaluation.figures.catalogue import FIGURES, PageConfig, write_page
from anifacegan.evaluation.figures.command import FigureKind, write_figure
from anifacegan.evaluation.figures.panels import FaceRenderer, between, captioned_grid
from anifacegan.evaluation.figures.settings import FigureConfig, prior_expression, selected_expressions
from anifacegan.rendering.contact_sheet import FONT_PX, GAP_PX
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import read_image
from anifacegan.runtime.typed_config import read_config
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.released_layout import golden_folder, write_averages, write_released
from tests.fixtures.small_models import small_generator, write_small_model
from tests.models.test_released import RELEASED_SMALL

ROOT = Path(__file__).resolve().parents[3]
SIZE = 8
FEWER = {
    "expression_views": {"yaw": 0.3, "pitch": 0.2},
    "identities": {"count": 3, "columns": 2},
    "expressions": {"drawn": 2, "columns": 2},
    "interpolation": {"steps": 2},
    "disentanglement": {"steps": 3},
    "truncation": {"psis": (0.0, 1.0)},
    "manifolds": {"x": 0.0, "y": (0.0,)},
    "depth_normals": {"yaw": 0.2},
    "mesh": {"yaw": (0.0, 0.3), "pitch": 0.0, "resolution": 12, "show_yaw": 0.0},
    "driving": {"frames": 3, "expressions": "drawn:1"},
}
"""Settings that show little, to be quick."""
OF_A_MODEL = [kind for kind in FIGURES if kind is not ablation.FIGURE]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the released files' layout, opaque enough to have a surface."""
    generator = small_generator(RELEASED_SMALL)
    with torch.no_grad():
        for head in generator.template.sigma_heads:
            head.weight.mul_(300)
    folder = write_released(tmp_path_factory.mktemp("models") / "released", generator)
    write_averages(folder, generator)
    return folder


def few(kind: FigureKind, model: Path, out: Path) -> FigureConfig:
    if kind is mesh.FIGURE:
        pytest.importorskip("skimage.measure", reason="pip install 'anifacegan[figures]'")
        pytest.importorskip("trimesh", reason="pip install 'anifacegan[figures]'")
    return kind.config(
        **{"model": model, "out": out, "size": SIZE, "seeds": (4, 5), **FEWER.get(kind.name, {})}
    )


def contents(paths: list[Path]) -> dict[str, bytes]:
    """Of all but the two that say where they were written."""
    return {path.name: path.read_bytes() for path in paths if path.suffix not in (".yaml", ".json")}


@pytest.mark.parametrize("kind", OF_A_MODEL, ids=lambda kind: kind.name)
def test_a_figure_is_made_again_from_its_settings(kind: FigureKind, small: Path, tmp_path: Path) -> None:
    first = write_figure(kind, few(kind, small, tmp_path / "first"))
    record = json.loads((tmp_path / "first" / f"{kind.name}.json").read_text())
    assert [*record["files"], f"{kind.name}.json"] == [path.name for path in first]
    assert record["model"]["name"] == "small"
    settings = ["--config", str(tmp_path / "first" / f"{kind.name}.yaml"), "--out", str(tmp_path / "again")]
    again = write_figure(kind, read_config(kind.config, settings, kind.name))
    assert contents(first) == contents(again)
    assert len(np.unique(read_image(first[0]).reshape(-1, 3), axis=0)) > 30, "the image is almost empty"


@pytest.mark.parametrize("kind", OF_A_MODEL, ids=lambda kind: kind.name)
def test_a_released_checkpoint_works(kind: FigureKind, released: Path, tmp_path: Path) -> None:
    """It has no names of expressions: its prior draws some."""
    paths = write_figure(kind, few(kind, released, tmp_path))
    assert "drawn:" in paths[-1].read_text() and all(path.stat().st_size for path in paths)


@pytest.mark.parametrize("kind", OF_A_MODEL, ids=lambda kind: kind.name)
def test_the_golden_checkpoint_works(
    kind: FigureKind, golden: Path, official: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The official deformation field, and its expression file."""
    folder = tmp_path_factory.mktemp("golden")
    model = golden_folder(folder / "model", golden, official)
    config = dataclasses.replace(few(kind, model, folder / "out"), expressions=str(official / "01626.mat"))
    assert all(path.stat().st_size for path in write_figure(kind, config))


@pytest.mark.parametrize("kind", [expression_views.FIGURE, truncation.FIGURE], ids=lambda kind: kind.name)
def test_other_people_give_another_image(kind: FigureKind, small: Path, tmp_path: Path) -> None:
    config = few(kind, small, tmp_path)
    images = [kind.draw(dataclasses.replace(config, seeds=seeds)).image for seeds in ((4,), (6,))]
    assert images[0].shape == images[1].shape and (images[0] != images[1]).any()


def cells(sheet: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(row, column, SIZE, SIZE, 3) of a contact sheet whose last row is in no group of its own."""
    grid = sheet[-GAP_PX - rows * SIZE : -GAP_PX, -GAP_PX - columns * SIZE : -GAP_PX]
    return grid.reshape(rows, SIZE, columns, SIZE, 3).swapaxes(1, 2)


def test_all_strips_share_the_face_from_which_a_single_code_departs(small: Path, tmp_path: Path) -> None:
    drawing = disentanglement.draw(few(disentanglement.FIGURE, small, tmp_path))
    expression, identity, appearance, yaw, pitch = cells(drawing.image, 5, 3)
    for strip, place in ((identity, 0), (appearance, 0), (yaw, 1), (pitch, 1)):
        assert (strip[place] == expression[2]).all()
        assert (strip[2] != strip[place]).any()


def test_interpolation_reaches_both_ends(small: Path, tmp_path: Path) -> None:
    config = few(interpolation.FIGURE, small, tmp_path)
    model = load_model(small)
    renderer, smile = FaceRenderer(model, config), selected_expressions(model, config)[0]
    (to_smile,) = cells(interpolation.draw(config).image, 1, 2)
    assert (to_smile[0] == renderer.pixels(4, np.zeros(64, np.float32))).all()
    assert (to_smile[1] == renderer.pixels(4, smile.z_exp)).all()
    ends = model.person(4), model.person(5)
    for share, end in ((0.0, ends[0]), (1.0, ends[1])):
        assert all(torch.equal(a, b) for a, b in zip(between(*ends, share), end, strict=True))


def test_at_psi_zero_the_appearance_is_everybodys(small: Path, tmp_path: Path) -> None:
    """Its colours are, that is; the deformation still follows the identity."""
    config = few(truncation.FIGURE, small, tmp_path)
    model = load_model(small)
    avatars = [
        FaceRenderer(model, config).face(seed, np.zeros(64, np.float32), psi=0.0).fields for seed in (4, 5)
    ]
    x = torch.linspace(-0.1, 0.1, 30).reshape(1, 10, 3)
    torch.testing.assert_close(avatars[0].radiance(x), avatars[1].radiance(x))


def test_people_are_those_of_the_seeds_and_of_the_ones_that_follow(small: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(few(identities.FIGURE, small, tmp_path), seeds=(9, 4), count=4)
    assert identities.draw(config).record["seeds"] == [9, 4, 10, 11]  # nobody twice


def test_a_grid_has_its_images_in_reading_order() -> None:
    tiles = [np.full((5, 4, 3), shade, np.uint8) for shade in (10, 20, 30)]
    grid = captioned_grid([("a", tiles[0]), ("b", tiles[1]), ("c", tiles[2])], columns=2)
    assert grid.shape == (2 * (5 + FONT_PX + 2 * GAP_PX) + GAP_PX, 2 * (4 + GAP_PX) + GAP_PX, 3)
    second_row = GAP_PX + 5 + FONT_PX + 2 * GAP_PX
    assert (grid[GAP_PX, GAP_PX] == 10).all() and (grid[GAP_PX, 2 * GAP_PX + 4] == 20).all()
    assert (grid[second_row, GAP_PX] == 30).all()


def test_a_drawn_expression_is_that_of_its_seed(small: Path) -> None:
    model = load_model(small)
    (one,) = selected_expressions(model, FigureConfig(expressions="drawn:3"))
    assert (one.z_exp == prior_expression(model, 3).z_exp).all()
    assert (one.z_exp != prior_expression(model, 4).z_exp).any()


def test_a_longer_deformation_is_recorded(small: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(few(deformation.FIGURE, small, tmp_path), expressions=("smile", "smile=3"))
    steps = deformation.draw(config).record["longest_visible_step_mm"]
    assert steps["neutral"] != steps["smile"] != steps["smile=3"]


def test_landmarks_are_drawn_upright() -> None:
    """y is up in the file: a chin at y = 10 is drawn near the bottom."""
    lm68 = np.full((68, 2), 112.0, np.float32)
    lm68[:17] = np.column_stack([np.linspace(30, 190, 17), np.full(17, 10.0)])
    image = driving.landmark_strokes(lm68, 56)
    assert image[:20].min() == 255 and image[-8:].min() < 100


def test_bars_rise_for_positive_coefficients_and_fall_for_negative_ones() -> None:
    z_exp = np.zeros(64, np.float32)
    z_exp[0], z_exp[63] = 3.0, -3.0
    filled = (driving.coefficient_bars(z_exp, 64) != 255).any(axis=-1)
    assert filled[10, 0] and not filled[54, 0] and filled[54, 63] and not filled[10, 63]
    assert not filled[:, 1:63].any()


def test_a_folder_drives_frame_by_frame_beside_its_images(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(2):
        scipy.io.savemat(
            folder / f"{k}.mat", {"exp": np.full((1, 64), k, np.float32), "pose": [[0.0, 0.1 * k]]}
        )
    Image.new("RGB", (30, 20), (0, 0, 200)).save(folder / "0.png")
    config = dataclasses.replace(
        few(driving.FIGURE, small, tmp_path), driving=folder, frames=None, poses=True
    )
    drawing = driving.draw(config)
    assert [frame["yaw"] for frame in drawing.record["frames"]] == [0.0, 0.1]
    driver, fields = cells(drawing.image, 2, 2)
    assert (driver[0] == (0, 0, 200)).all() and (driver[1] != (0, 0, 200)).any()
    assert (fields[0] != fields[1]).any()


def test_the_ablation_is_a_table(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(
        '{"full": {"error": 0.5, "correlation": 0.9}, "no warp": {"error": 1.0, "other": NaN}}'
    )
    drawing = ablation.draw(ablation.AblationConfig(results, tmp_path))
    assert drawing.text.splitlines()[2:] == ["| full | 0.5 | 0.9 | - |", "| no warp | 1 | - | - |"]
    bars = (drawing.image == ablation.BAR).all(axis=-1).sum(axis=1)
    first, second = ablation.ROW_PX + 5, 2 * ablation.ROW_PX + 5
    assert bars[second] == ablation.BAR_PX + 1  # the largest error, and no other number
    assert bars[first] == ablation.BAR_PX // 2 + ablation.BAR_PX + 2
    assert write_figure(ablation.FIGURE, ablation.AblationConfig(results, tmp_path))[-1].is_file()


def test_the_ablation_is_what_ablate_writes(tmp_path: Path) -> None:
    worth = AblationResult(0.9, 0.95, 0.3, 1.5, 0.4, 1.1, 0.2)
    (tmp_path / RESULT).write_text(json.dumps({FULL: dataclasses.asdict(worth)}))
    assert ablation.measures(ablation.read_table(tmp_path / RESULT)) == list(HEADINGS)
    assert ablation.AblationConfig().results.name == RESULT


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "not readable as JSON"),
        ("[]", "no variants"),
        ('{"full": 3}', "variant 'full'"),
        ('{"full": {"error": "small"}}', "'error' of 'full' is \"small\""),
    ],
)
def test_another_file_is_no_ablation(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    assert_one_line(lambda: ablation.read_table(tmp_path / "r.json"), "r.json", part)


def test_the_page_shows_what_is_there(tmp_path: Path) -> None:
    assert_one_line(lambda: write_page(PageConfig(tmp_path)), "holds no figures")
    (tmp_path / "driving.json").write_text(
        '{"files": ["driving.png", "driving.mp4"], "model": {"name": "<b>"}}'
    )
    page = write_page(PageConfig(tmp_path)).read_text()
    assert (
        '<img src="driving.png"' in page and '<video src="driving.mp4"' in page and "truncation" not in page
    )
    assert "&lt;b&gt;" in page and "<b>" not in page
    (tmp_path / "mesh.json").write_text("[]")
    assert_one_line(lambda: write_page(PageConfig(tmp_path)), "mesh.json", "not the record of a figure")


def test_a_mesh_without_its_packages_says_how_to_get_them(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    config = mesh.MeshConfig(model=small, out=tmp_path)
    assert_one_line(lambda: mesh.draw(config), "trimesh: not installed", "pip install scikit-image trimesh")


def test_a_broken_model_is_named(small: Path, tmp_path: Path) -> None:
    model = load_model(small)
    model.generator.mean_phases.fill_(float("nan"))
    renderer = FaceRenderer(model, few(truncation.FIGURE, small, tmp_path))
    with pytest.raises(InputError, match="not finite"):
        renderer.pixels(4, np.zeros(64, np.float32))
