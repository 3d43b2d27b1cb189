"""Shades of expressions reach a head: known factors on a small avatar, in its file and as a reader draws them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export import head_shades as head_shades_module
from anifacegan.avatars.export import head_texture as head_texture_module
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_file import glb_bytes
from anifacegan.avatars.export.glb_head import glb_scene
from anifacegan.avatars.export.glb_parts import GlbScene
from anifacegan.avatars.export.head_shades import LEAST_SHADE, head_shades, without_least_shade
from anifacegan.avatars.export.head_texture import (
    HeadTexture,
    head_texture,
    layout_owners,
    neutral_views,
    posed_views,
)
from anifacegan.avatars.export.morph_targets import morph_targets
from anifacegan.avatars.export.painted_head import PaintedHead, painted_head
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.parts import SKIN
from tests.fixtures.drawn_glb import GlbReader
from tests.fixtures.node_programs import loaded_by_three, validation
from tests.fixtures.tiny_person import SHAPES, tiny_avatar, tiny_shape

pytest.importorskip("pygltflib", reason="pip install 'anifacegan[glb]'")
SIZE, GREY = 64, 0.4
STEP = 0.5 / 127
"""Precision of a change in the file."""


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> PersonShape:
    return tiny_shape(tmp_path_factory.mktemp("face_model"))


@pytest.fixture(scope="module")
def avatar(shape: PersonShape) -> Avatar:
    """An avatar whose open jaw makes the colours of the left half 0.7 times as light; its blink shades nothing."""
    plain = tiny_avatar(shape)
    shades = np.zeros((len(SHAPES), 1, len(shape.neutral)), np.float32)
    shades[SHAPES.index("jaw_open"), 0, shape.neutral[:, 0] > 0] = np.log(0.7)
    mesh = dataclasses.replace(plain.layered_mesh, shades=shades)
    return dataclasses.replace(plain, layered_mesh=mesh)


@pytest.fixture(scope="module")
def expressions(avatar: Avatar) -> dict[str, np.ndarray]:
    return {name: avatar.expressions.coefficients(name) for name in SHAPES}


@pytest.fixture
def _frontal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texture is read from one view of each expression."""
    monkeypatch.setattr(head_texture_module, "DIRECTIONS", ((0.0, 0.0),))
    monkeypatch.setattr(head_texture_module, "FEW_DIRECTIONS", ((0.0, 0.0),))


def grey_texture(shape: PersonShape, neutral: float) -> HeadTexture:
    """A texture of one grey that views of the neutral face saw by a share ``neutral``."""
    owners = layout_owners(shape, SIZE)
    seen = np.ones(len(owners.flat), bool)
    return HeadTexture(np.full((SIZE, SIZE, 3), GREY), owners, seen, np.full(len(seen), neutral))


def shades_of(
    avatar: Avatar, shape: PersonShape, expressions: dict[str, np.ndarray], neutral: float = 1.0
) -> dict[str, np.ndarray]:
    texture = grey_texture(shape, neutral)
    return head_shades(avatar, shape, np.zeros_like(shape.neutral), texture, expressions)


def linear(srgb: float) -> float:
    return ((srgb + 0.055) / 1.055) ** 2.4


def stored(factor: float) -> float:
    """What a file has for a factor on the grey's value in the image."""
    change = linear(factor * GREY) / linear(GREY) - 1
    return change * (1 - (LEAST_SHADE / max(abs(change), LEAST_SHADE)) ** 4)


@pytest.fixture(scope="module")
def scene(avatar: Avatar, shape: PersonShape, expressions: dict[str, np.ndarray]) -> GlbScene:
    shades = shades_of(avatar, shape, expressions)
    head = PaintedHead(shape, np.zeros_like(shape.neutral), np.full((SIZE, SIZE, 3), GREY), 1.0, shades)
    return glb_scene(avatar, head, morph_targets(shape, expressions, 0.01), GlbConfig())


@pytest.fixture(scope="module")
def path(scene: GlbScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head") / "shaded.glb"
    path.write_bytes(glb_bytes(scene))
    return path


def test_a_factor_on_the_image_becomes_one_on_linear_light(
    avatar: Avatar, shape: PersonShape, expressions: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vertices of head and avatar are the same, so nothing is interpolated; 0.7 times the grey has to come out."""
    monkeypatch.setattr(head_shades_module, "LEAST_SHADE", 1e-9)
    shades = shades_of(avatar, shape, expressions)
    skin, left = shape.parts.part == SKIN, shape.neutral[:, 0] > 0
    seen = np.bincount(layout_owners(shape, SIZE).corners.ravel(), minlength=len(skin)) > 0
    assert (skin & left & seen).sum() > 100 and (skin & ~left & seen).sum() > 100
    expected = linear(0.7 * GREY) / linear(GREY) - 1
    # each vertex lies at the avatar's own; seven others, 1 cm away or more, count at most 7 (0.1 mm / 1 cm)^2
    np.testing.assert_allclose(shades["jaw_open"][skin & left & seen], expected, atol=1e-3)
    np.testing.assert_allclose(shades["jaw_open"][skin & ~left & seen], 0, atol=1e-3)
    assert (shades["jaw_open"][~skin] == 0).all() and (shades["blink"] == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_only_an_expression_shows_is_not_shaded_again(
    avatar: Avatar, shape: PersonShape, expressions: dict[str, np.ndarray], share: float
) -> None:
    shades = shades_of(avatar, shape, expressions, neutral=share)
    assert shades["jaw_open"].min() == pytest.approx(stored(0.7**share), abs=1e-3)


@pytest.mark.usefixtures("_frontal")
def test_texture_of_an_expressions_view_is_not_neutral(shape: PersonShape, avatar: Avatar) -> None:
    """Seen by neutral views: the front; texels that are not seen at all have no neutral colour either."""
    views = neutral_views(avatar, 64)
    posed = posed_views(avatar, shape, np.zeros_like(shape.neutral), views)
    whole = head_texture(shape, posed, SIZE)
    assert (whole.neutral[~whole.seen] == 0).all() and np.median(whole.neutral[whole.seen]) > 0.99
    opened = head_texture(shape, [view for view in posed if not view.neutral], SIZE)
    assert opened.seen.any() and (opened.neutral == 0).all()


def test_small_changes_are_left_out_and_larger_ones_set_in_smoothly() -> None:
    change = np.linspace(-1, 1, 401)[:, None] * [1.0, 0.5, 0.25]
    found = without_least_shade(change)
    assert (found[np.abs(change[:, 0]) <= LEAST_SHADE] == 0).all()
    assert np.abs(found - change).max() <= LEAST_SHADE + 1e-12
    assert (
        np.abs(np.diff(found[:, 0])).max() < 4.1 * np.diff(change[:, 0])[0]
    )  # its slope is 4 where it sets in


def test_the_file_has_the_factors_and_a_reader_multiplies_by_them(path: Path, shape: PersonShape) -> None:
    reader = GlbReader(path)
    assert (reader.attribute("skin", "COLOR_0") == 1).all()
    for strength in (0.5, 1.0):
        factors = reader.posed({"jaw_open": strength}).colours
        assert (factors <= 1).all()
        assert np.quantile(factors, 0.01) == pytest.approx(1 + strength * stored(0.7), abs=STEP + 1e-3)
        assert 0.2 < (factors[:, 0] < 1).mean() < 0.6  # the left half of the skin
    assert (reader.posed({"blink": 1.0, "jawOpen": 1.0}).colours == 1).all()
    assert (
        not reader.gltf.meshes[reader.gltf.nodes[reader.node("left_eye")].mesh]
        .primitives[0]
        .attributes.COLOR_0
    )


def test_every_target_of_the_skin_has_the_attribute_and_those_without_shade_share_one(path: Path) -> None:
    reader = GlbReader(path)
    (primitive,) = reader.gltf.meshes[reader.gltf.nodes[reader.node("skin")].mesh].primitives
    numbers = dict(zip(reader.target_names("skin"), (t["COLOR_0"] for t in primitive.targets), strict=True))
    assert len(set(numbers.values())) == 1 + len(SHAPES)
    empty = reader.gltf.accessors[numbers["jawOpen"]]
    assert (
        empty.bufferView is None and empty.sparse is None and (reader.values(numbers["jawOpen"]) == 0).all()
    )


def test_the_validator_finds_no_error_and_no_warning(path: Path) -> None:
    issues = validation(path)
    assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues["messages"]


def test_three_js_reads_the_changes(path: Path) -> None:
    skin = loaded_by_three(path)["meshes"]["skin"]
    lowest = dict(zip(skin["keys"], skin["morphedColours"], strict=True))
    assert lowest["jaw_open"] == pytest.approx(stored(0.7), abs=STEP + 1e-3)
    assert all(value == 0 for name, value in lowest.items() if name != "jaw_open")


def test_an_avatar_without_shades_has_the_same_file_as_before(
    shape: PersonShape, expressions: dict[str, np.ndarray]
) -> None:
    plain = tiny_avatar(shape)
    assert shades_of(plain, shape, expressions) == {}
    head = PaintedHead(shape, np.zeros_like(shape.neutral), np.full((SIZE, SIZE, 3), GREY), 1.0)
    content = glb_bytes(glb_scene(plain, head, morph_targets(shape, expressions, 0.01), GlbConfig()))
    assert b"COLOR_0" not in content


@pytest.mark.usefixtures("_frontal")
@pytest.mark.parametrize("albedo", [False, True])
def test_a_head_without_light_has_no_shades(
    avatar: Avatar, shape: PersonShape, expressions: dict[str, np.ndarray], albedo: bool
) -> None:
    config = GlbConfig(texture=64, view=64)
    assert bool(painted_head(avatar, shape, config, expressions, albedo).shades) != albedo
