"""An avatar from a file draws what the saved one draws; invalid files are refused in one line."""

import dataclasses
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from anifacegan.avatars.avatar import Avatar, AvatarCard, load_avatar, require_room_for_avatar, save_avatar
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.trajectories import Expression, planned_trajectory
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.runtime.errors import InexactWarning
from tests.fixtures.flat_avatars import bumpy_layer, layered_mesh_of
from tests.fixtures.one_line import assert_one_line

UNITS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")
HEADER = "anifacegan.avatar"


def small_layered_mesh() -> LayeredMesh:
    """Make two bumpy layers with two expressions, the first units of the basis."""
    rng = np.random.default_rng(0)
    layered_mesh = layered_mesh_of(
        *(bumpy_layer(z, rng) for z in (0.06, 0.02)), ray_sampling=RaySamplingConfig(samples=33, far=1.2)
    )
    texels = np.maximum(layered_mesh.texels, 0)
    return dataclasses.replace(
        layered_mesh,
        texels=texels,
        blendshapes=0.01 * rng.standard_normal((2, 2, len(layered_mesh.vertices), 3)).astype(np.float32),
        texel_offsets=rng.standard_normal((2, 2, 9, 2)).astype(np.float32),
        z_exp=basis().units_to_exp.T[:2].copy(),
    )


def basis() -> ExpressionBasis:
    return ExpressionBasis(UNITS, np.random.default_rng(1).standard_normal((64, 3)).astype(np.float32))


def small_avatar(**changes: object) -> Avatar:
    card = AvatarCard(
        name="someone", model="small", face_model="open", psi=0.7, expressions=("jawOpen", "mouthSmileLeft"),
        pitch_offset=0.1, licence="free", presets={"gape": {"jawOpen": 0.5}}, expression_units=UNITS,
        baking={"texture": 6, "residual": [1e-5, 2e-5]},
    )  # fmt: skip
    return dataclasses.replace(Avatar(small_layered_mesh(), card, basis()), **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_avatar(tmp_path / "someone.safetensors", small_avatar())
    return tmp_path / "someone.safetensors"


def test_mat_files_without_an_exact_pose_have_the_pitch_offset_of_the_card(tmp_path: Path) -> None:
    path, zeros = tmp_path / "a.mat", np.zeros((1, 64), np.float32)
    scipy.io.savemat(path, {"exp": zeros, "angle": np.array([[0.25, 0.3, 0.0]])})
    drive = DriveConfig(str(path), frames=1, pose_from_mat=True)
    trajectory = planned_trajectory(
        drive, small_avatar().expressions, [Expression("a", zeros[0], path)], False
    )
    assert np.allclose(trajectory.pitch, 0.15) and np.allclose(trajectory.yaw, 0.3)


# ---------------------------------------------------------------------------------------------------------- the file
def test_an_avatar_from_a_file_draws_the_same_images(path: Path) -> None:
    """Blendshapes are stored as float16: offsets of up to 0.04 are rounded by 1e-5 world units, a hundredth of a
    pixel."""
    before, after = small_avatar(), load_avatar(path)
    assert after.card == before.card and after.layered_mesh.ray_sampling == before.layered_mesh.ray_sampling
    assert after.layered_mesh.widest_rad == before.layered_mesh.widest_rad
    for name in (
        "vertices",
        "texels",
        "triangles",
        "layer_starts",
        "textures",
        "background",
        "z_exp",
        "texel_offsets",
    ):
        np.testing.assert_array_equal(getattr(after.layered_mesh, name), getattr(before.layered_mesh, name))
    np.testing.assert_allclose(after.layered_mesh.blendshapes, before.layered_mesh.blendshapes, atol=1.6e-5)
    for expression in (None, "neutral", "jawOpen=0.7", "gape", "gape=0.3,mouthSmileLeft=0.4"):
        one, other = (
            avatar.image(yaw=0.2, pitch=-0.1, size=24, expression=expression) for avatar in (before, after)
        )
        for plane in ("rgb", "foreground", "foreground_rgb", "depth"):
            # A pixel on an edge of triangles may change sides.
            differ = (getattr(one, plane) - getattr(other, plane)).abs().amax(0) > 0.01
            assert differ.sum() <= (0 if expression in (None, "neutral") else 6)
        assert (
            one.rgb.shape == (3, 24, 24)
            and (after.render(yaw=0.2, pitch=-0.1, size=24, expression=expression) == other.rgb).all()
        )
    assert (after.render(size=24) - after.render(size=24, expression="jawOpen")).abs().max() > 0.05


def test_an_avatar_without_expressions_or_action_units_is_stored(tmp_path: Path) -> None:
    still = dataclasses.replace(
        small_layered_mesh(),
        blendshapes=np.zeros((0, 1, 50, 3), np.float32),
        texel_offsets=np.zeros((0, 1, 0, 2), np.float32),
        z_exp=np.zeros((0, 64), np.float32),
    )
    card = AvatarCard("still", "m", "f", 1.0, ())
    save_avatar(tmp_path / "still.safetensors", Avatar(still, card))
    avatar = load_avatar(tmp_path / "still.safetensors")
    assert avatar.basis is None and avatar.render(size=8).shape == (3, 8, 8)
    assert_one_line(lambda: avatar.render(expression="smile"), "smile", "no named expressions")
    assert_one_line(lambda: avatar.render(expression=np.ones(64, np.float32)), "100%", "still")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "a.safetensors"
    assert_one_line(lambda: save_avatar(target, small_avatar()), "a.safetensors")
    assert not (tmp_path / "folder").exists()


def test_a_file_that_is_no_avatar_is_not_replaced_unasked(tmp_path: Path) -> None:
    target, model = tmp_path / "a.safetensors", tmp_path / "model.safetensors"
    for text in ("precious", ""):
        target.write_text(text)
        assert_one_line(
            lambda: save_avatar(target, small_avatar()), "a.safetensors: is in the way and no avatar"
        )
        assert target.read_text() == text
    save_avatar(target, small_avatar(), overwrite=True)
    save_avatar(target, small_avatar())  # of an avatar
    assert load_avatar(target).card.name == "someone"
    model.touch()
    (tmp_path / "card.yaml").touch()
    assert_one_line(lambda: save_avatar(model, small_avatar(), overwrite=True), "is the weights of a model")
    for name in ("a.txt", "a", "."):
        assert_one_line(
            lambda name=name: save_avatar(tmp_path / name, small_avatar()), "ends in .safetensors"
        )
    (tmp_path / "folder.safetensors").mkdir()
    assert_one_line(
        lambda: save_avatar(tmp_path / "folder.safetensors", small_avatar(), True), "folder.safetensors"
    )


# ---------------------------------------------------------------------------------------------------------- refusals
def rewritten(path: Path, change: Callable[[dict, dict], None], raw: str | None = None) -> Path:
    """The file with other arrays or another header."""
    with safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()[HEADER])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    change(arrays, header)
    save_file(arrays, path, {HEADER: json.dumps(header) if raw is None else raw})
    return path


def set_first(name: str, value: float) -> Callable[[dict, dict], None]:
    def change(arrays: dict, header: dict) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] = value

    return change


def resized(name: str, shape: tuple[int, ...]) -> Callable[[dict, dict], None]:
    return lambda arrays, header: arrays.update({name: np.zeros(shape, arrays[name].dtype)})


def in_header(**values: object) -> Callable[[dict, dict], None]:
    return lambda arrays, header: header.update(values)


def in_ray_sampling(**values: object) -> Callable[[dict, dict], None]:
    return lambda arrays, header: header["ray_sampling"].update(values)


UNITS_ARRAY = "expression.units_to_exp"
DAMAGE = {
    "missing tensor": (lambda arrays, header: arrays.pop("z_exp"), "'z_exp' is missing"),
    "an unknown tensor": (
        lambda arrays, header: arrays.update(shadeS=np.zeros((2, 2, 50), np.float16)),
        "has a tensor 'shadeS', expected those of an avatar: ",
    ),
    "units of 64 bits": (
        lambda arrays, header: arrays.update({UNITS_ARRAY: arrays[UNITS_ARRAY].astype(np.float64)}),
        "units_to_exp' is float64",
    ),
    "other kind": (
        lambda arrays, header: arrays.update(texels=arrays["texels"].astype(np.float64)),
        "float64",
    ),
    "other shape": (resized("vertices", (50, 2)), "'vertices'"),
    "fewer texels": (resized("texels", (49, 2)), "do not belong together"),
    "fewer blendshapes": (resized("blendshapes", (1, 2, 50, 3)), "do not belong together"),
    "another in-between shape": (resized("blendshapes", (2, 3, 50, 3)), "do not belong together"),
    "no in-between shapes": (
        lambda arrays, header: arrays.update(
            blendshapes=np.zeros((2, 0, 50, 3), np.float16), texel_offsets=np.zeros((2, 0, 9, 2), np.float32)
        ),
        "do not belong together",
    ),
    "more texel steps than vertices": (resized("texel_offsets", (2, 2, 51, 2)), "do not belong together"),
    "texel step nan": (set_first("texel_offsets", math.nan), "not finite"),
    "fewer layers": (resized("textures", (1, 6, 5, 4)), "do not belong together"),
    "a texture of one texel": (resized("textures", (2, 1, 1, 4)), "do not belong together"),
    "an oblong background": (resized("background", (2, 3, 3)), "do not belong together"),
    "a vertex too many": (set_first("triangles", 50), "do not belong together"),
    "a vertex below 0": (set_first("triangles", -1), "do not belong together"),
    "layer_starts after 0": (set_first("layer_starts", 1), "do not belong together"),
    "layer_starts that fall": (
        lambda arrays, header: arrays.update(layer_starts=np.int32([0, 90, 64])),
        "do not belong together",
    ),
    "no layer_starts": (resized("layer_starts", (0,)), "do not belong together"),
    "vertex nan": (set_first("vertices", math.nan), "'vertices' has values that are not finite"),
    "coefficient inf": (set_first("z_exp", math.inf), "'z_exp' has values that are not finite"),
    "blendshape nan": (set_first("blendshapes", math.nan), "not finite"),
    "units": (resized("expression.units_to_exp", (64, 5)), "units_to_exp"),
    "another format": (in_header(format=7), "format 7"),
    "the format before": (in_header(format=2), "format 2, expected 3: bake it again"),
    "no card": (lambda arrays, header: header.pop("card"), "'card'"),
    "a card that is no card": (in_header(card=[1]), "'card'"),
    "a card without a name": (lambda arrays, header: header["card"].pop("name"), "name"),
    "a card with more": (lambda arrays, header: header["card"].update(colour=1), "colour"),
    "an expression too many": (
        lambda arrays, header: header["card"].update(expressions=["a"]),
        "1 expressions",
    ),
    "no ray sampling": (in_header(ray_sampling=None), "'ray_sampling'"),
    "near beyond far": (lambda arrays, header: header["ray_sampling"].update(near=2.0), "near"),
    "no reach": (lambda arrays, header: header.pop("background_reach"), "background_reach is None"),
    "a reach of nan": (in_header(background_reach=math.nan), "background_reach"),
    "a reach of nothing": (in_header(background_reach=1e-30), "background_reach is 1e-30"),
    "a reach that is no number": (in_header(background_reach=True), "background_reach is True"),
    "too wide": (in_header(widest_rad=3), "widest_rad is 3"),
    "a background of nan": (in_ray_sampling(background_z=math.nan), "background_z is nan"),
    "a background of inf": (in_ray_sampling(background_z=math.inf), "background_z is inf"),
    "a background far off": (in_ray_sampling(background_z=-1e30), "background_z"),
    "a field of view of nan": (in_ray_sampling(fov_deg=math.nan), "fov_deg"),
    "no field of view": (in_ray_sampling(fov_deg=0.0), "fov_deg"),
    "a negative field of view": (in_ray_sampling(fov_deg=-12.0), "fov_deg"),
    "almost no field of view": (in_ray_sampling(fov_deg=1e-30), "fov_deg"),
    "a field of view all around": (in_ray_sampling(fov_deg=180.0), "fov_deg"),
    "a view beside the background": (in_ray_sampling(fov_deg=60.0), "beside the background's plane"),
    "near nan": (in_ray_sampling(near=math.nan), "near"),
    "far nan": (in_ray_sampling(far=math.nan), "far"),
    "far inf": (in_ray_sampling(far=math.inf), "far"),
    "too many samples": (in_ray_sampling(samples=2**60), "expected 2 to 4096"),
    "samples too close": (in_ray_sampling(near=1.0, far=1.0 + 1e-7), "steps of at least"),
    "one sample": (in_ray_sampling(samples=1), "samples"),
    "a fraction of a sample": (in_ray_sampling(samples=33.5), "samples is 33.5"),
    "a vertex far off": (set_first("vertices", 1e30), "'vertices' has a value of size 1e+30"),
    "a blendshape far off": (set_first("blendshapes", 6e4), "'blendshapes' has a value of size"),
    "a texel nan": (set_first("texels", math.nan), "'texels' has values that are not finite"),
    "a texel far off": (set_first("texels", -1e30), "'texels' has a value of size 1e+30"),
    "a texel step far off": (set_first("texel_offsets", 1e30), "'texel_offsets' has a value of size"),
    "whole units": (
        lambda arrays, header: arrays.update({"expression.units_to_exp": np.zeros((64, 3), np.int32)}),
        "units_to_exp",
    ),
    "unit nan": (
        set_first("expression.units_to_exp", math.nan),
        "units_to_exp' has values that are not finite",
    ),
    "psi nan": (lambda arrays, header: header["card"].update(psi=math.nan), "card.psi is nan"),
    "a preset of nan": (
        lambda arrays, header: header["card"]["presets"]["gape"].update(jawOpen=math.nan),
        "card.presets.gape.jawOpen is nan",
    ),
    "a preset of nothing known": (
        lambda arrays, header: header["card"]["presets"]["gape"].update(jawOpener=0.5),
        "card.presets.gape has the action unit 'jawOpener'",
    ),
    "a unit twice": (
        lambda arrays, header: header["card"].update(expression_units=["jawOpen"] * len(UNITS)),
        "expression_units has 'jawOpen' twice",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(path: Path, damage: str) -> None:
    change, part = DAMAGE[damage]
    assert_one_line(lambda: load_avatar(rewritten(path, change)), path.name, part)


def test_an_avatar_is_replaced_until_somebody_has_edited_its_numbers(path: Path) -> None:
    require_room_for_avatar(path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    require_room_for_avatar(path, overwrite=True)
    assert_one_line(
        lambda: require_room_for_avatar(path), "is in the way and no avatar as this program wrote it"
    )


def test_geometry_at_or_behind_the_camera_is_not_drawn(path: Path) -> None:
    """So are vertices in the camera's own plane, whose projection is undefined."""
    plain = load_avatar(path).render(size=16)

    def behind(arrays: dict, header: dict) -> None:
        arrays["vertices"] = arrays["vertices"] * [1, 1, 0] + [0, 0, 1]
        arrays["vertices"][:20, 2] = 1.5
        arrays["vertices"] = arrays["vertices"].astype(np.float32)

    image = load_avatar(rewritten(path, behind)).image(size=16)
    assert image.foreground.max() == 0 and image.rgb.isfinite().all() and (image.rgb != plain).any()


@pytest.mark.parametrize("raw", ["{", "[]", "3"])
def test_a_header_that_is_no_header_is_refused(path: Path, raw: str) -> None:
    assert_one_line(lambda: load_avatar(rewritten(path, lambda arrays, header: None, raw)), path.name)


def test_other_files_are_refused(tmp_path: Path, path: Path) -> None:
    assert_one_line(lambda: load_avatar(tmp_path / "no.safetensors"), "no.safetensors", "no such file")
    (tmp_path / "text.safetensors").write_text("hello")
    assert_one_line(lambda: load_avatar(tmp_path / "text.safetensors"), "not a readable safetensors file")
    (tmp_path / "short.safetensors").write_bytes(path.read_bytes()[:-100])
    assert_one_line(lambda: load_avatar(tmp_path / "short.safetensors"), "not a readable safetensors file")
    save_file({"x": np.zeros(3)}, tmp_path / "weights.safetensors")
    assert_one_line(lambda: load_avatar(tmp_path / "weights.safetensors"), "holds no avatar")


def test_an_expression_that_was_not_baked_is_refused_with_the_baked_ones_names() -> None:
    avatar = small_avatar()
    assert_one_line(
        lambda: avatar.render(expression="mouthSmileRight"), "mouthSmileRight", "jawOpen", "mouthSmileLeft"
    )
    assert_one_line(lambda: avatar.render(expression="laugh"), "laugh", "not known", "gape")


def test_a_default_device_of_the_calling_program_changes_nothing(path: Path) -> None:
    with torch.device("meta"):
        image = load_avatar(path).render(size=16, yaw=0.1)
    assert torch.equal(image, load_avatar(path).render(size=16, yaw=0.1))


def test_avatars_are_equal_to_themselves_alone(path: Path) -> None:
    """NumPy's arrays have no single answer to ==."""
    avatar, other = load_avatar(path), load_avatar(path)
    assert avatar == avatar and avatar != other and len({avatar, other}) == 2


def test_an_image_of_one_pixel_is_refused() -> None:
    assert_one_line(lambda: small_avatar().render(size=1), "size is 1", "from 2 to")


def test_an_expression_far_stronger_than_baked_is_refused() -> None:
    avatar = small_avatar()
    avatar.render(size=8, expression="jawOpen=1.5")
    assert_one_line(lambda: avatar.render(expression="jawOpen=2.5"), "2.5 times 'jawOpen'", "1.5")
    assert avatar.can_make(basis().units_to_exp[:, 1]) and not avatar.can_make(3 * basis().units_to_exp[:, 1])


def test_the_reverse_of_an_expression_is_drawn_with_a_warning() -> None:
    """Once for a place in the caller's code, whatever the strength."""
    avatar = small_avatar()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        avatar.render(size=8, expression="jawOpen=-0.5")
    with pytest.warns(
        InexactWarning, match="baked for 0 to 1 times 'jawOpen', and is less exact below -0.5 times"
    ):
        avatar.render(size=8, expression="jawOpen=-1")


def test_directions_of_a_photographs_avatar_go_both_ways() -> None:
    shapes = {"blendshapes": np.zeros((64, 1, 50, 3), np.float32), "z_exp": np.eye(64, dtype=np.float32)}
    mesh = dataclasses.replace(
        small_layered_mesh(), texel_offsets=np.zeros((64, 1, 0, 2), np.float32), **shapes
    )
    avatar = Avatar(mesh, dataclasses.replace(small_avatar().card, expressions=("direction",) * 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        avatar.render(size=8, expression=-mesh.z_exp[3])


@pytest.mark.parametrize(("yaw", "pitch"), [(0.95, 0.0), (0.0, -0.95), (0.7, 0.7)])
def test_a_view_too_far_aside_is_refused(yaw: float, pitch: float) -> None:
    assert_one_line(lambda: small_avatar().render(yaw=yaw, pitch=pitch), "yaw", "0.90")


@pytest.mark.parametrize("yaw", [math.pi, 20.0, 360.0])
def test_degrees_are_said_to_be_no_radians(yaw: float) -> None:
    """20 radians are 1.15 from frontal, so that a wider avatar would seem to help."""
    assert_one_line(lambda: small_avatar().render(yaw=yaw), f"yaw {yaw:.3g}", "radians, not degrees")


def test_an_angle_that_is_no_number_is_refused() -> None:
    assert_one_line(lambda: small_avatar().render(yaw=math.nan), "yaw is nan, expected a finite number")


def test_a_view_at_the_widest_angle_is_played() -> None:
    assert small_avatar().render(yaw=0.9, pitch=0.0, size=8).isfinite().all()
    assert small_avatar().render(yaw=0.0, pitch=-0.9, size=8).isfinite().all()


@pytest.mark.parametrize("yaw", [-6.2, 6.28, 1e6, math.pi, 3.0])
def test_angles_beyond_a_full_turn_or_behind_are_no_view(yaw: float) -> None:
    """Their cosine may be that of a near view: they are degrees, or mistakes. Faces refuse them, too."""
    avatar = small_avatar()
    for view in ({"yaw": yaw}, {"pitch": yaw}, {"yaw": yaw, "pitch": yaw}):
        assert_one_line(lambda view=view: avatar.render(size=8, **view), "from frontal")
