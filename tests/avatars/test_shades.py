"""Shades of an avatar: expressions make its colours lighter and darker, as the networks' shading field does."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from anifacegan.avatars.avatar import load_avatar, save_avatar
from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import person_condition
from anifacegan.avatars.baking.shades import expression_shades
from anifacegan.avatars.export.grid_coding import GridPlaces
from anifacegan.avatars.export.named_expressions import with_expressions
from anifacegan.avatars.export.visible_part import visible_part
from anifacegan.avatars.export.web_geometry import HIDDEN_TOLERANCE, SHADE_STEP, packed_geometry
from anifacegan.avatars.layered_mesh import LARGEST_SHADE, LayeredMesh
from anifacegan.avatars.players.numba_player import play
from anifacegan.models.coefficient_vae import Latents
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_files import read_safetensors, safetensors_content
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.ball_people import (
    SMALL_BAKE,
    charts,
    lit_aside,
    person,
    psnr_to_adaptive,
    still,
    z_exp_rows,
)
from tests.fixtures.decoded_pages import decoded_field, whole_numbers
from tests.fixtures.flat_avatars import layered_mesh_of, square
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import WITH_PLANES, small_checkpoint
from tests.models.test_shading import SHADING


def shaded_square(*logarithms: float, rgba: tuple[int, int, int, int] = (100, 50, 20, 255)) -> LayeredMesh:
    """A square with one expression, at whose corners the colours change by these logarithms."""
    mesh = layered_mesh_of(square(0.0, rgba), background=0)
    return dataclasses.replace(
        mesh,
        blendshapes=np.zeros((1, 1, 4, 3), np.float32),
        texel_offsets=np.zeros((1, 1, 0, 2), np.float32),
        z_exp=z_exp_rows((2.0,)),
        shades=np.array(logarithms, np.float32).reshape(1, 1, 4),
    )


def middle(mesh: LayeredMesh, strength: float) -> np.ndarray:
    """Colour of the middle pixel in bytes, with a share of the expression."""
    image = play(mesh, mesh.posed(strength * mesh.z_exp[0]), yaw=0.0, pitch=0.0, size=9)
    return 255 * image.rgb[:, 4, 4].numpy()


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, -0.5, 1.4])
def test_the_logarithm_grows_with_the_strength(strength: float) -> None:
    mesh = shaded_square(*4 * [np.log(1.5)])
    np.testing.assert_allclose(middle(mesh, strength), 1.5**strength * np.array([100, 50, 20]), rtol=1e-5)


def test_factors_are_interpolated_between_the_corners() -> None:
    mesh = shaded_square(np.log(2), np.log(1), np.log(1), np.log(2))  # the diagonal is from corner 1 to 2
    np.testing.assert_allclose(middle(mesh, 1.0), [100, 50, 20], rtol=1e-5)
    mesh = shaded_square(np.log(1), np.log(2), np.log(1), np.log(2))  # lighter to the right
    np.testing.assert_allclose(middle(mesh, 1.0), [150, 75, 30], rtol=1e-5)


def test_nothing_becomes_lighter_than_white_or_than_its_opacity() -> None:
    np.testing.assert_allclose(middle(shaded_square(*4 * [1.4]), 1.0), [255, 202.76, 81.1], rtol=1e-4)
    half = shaded_square(*4 * [1.4], rgba=(100, 50, 20, 128))  # premultiplied
    np.testing.assert_allclose(middle(half, 1.0), [128, 128, 81.1], rtol=1e-4)
    np.testing.assert_allclose(
        middle(shaded_square(*4 * [9.0]), -1.0), np.exp(-LARGEST_SHADE) * np.array([100, 50, 20]), rtol=1e-5
    )


@torch.inference_mode()
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_baked_person_is_as_light_as_the_fields(strength: float) -> None:
    condition, z_exp = person(shade=lit_aside), z_exp_rows((1,), (0, 1))
    mesh = bake(condition, z_exp, charts(), SMALL_BAKE)[0]
    plain = dataclasses.replace(mesh, shades=None)
    wanted = strength * (z_exp[0] + z_exp[1]) / 2
    psnr, psnr_plain = (psnr_to_adaptive(of, condition, wanted, yaw=0.2) for of in (mesh, plain))
    assert psnr > 34 and psnr > psnr_plain + 6
    assert bake(person(), z_exp, charts(), SMALL_BAKE)[0].shades is None


@torch.inference_mode()
def test_shades_are_compared_with_the_neutral_face() -> None:
    """The neutral face itself may have other colours than the template."""

    def shade(x: torch.Tensor, z_exp: np.ndarray) -> torch.Tensor:
        return lit_aside(x, z_exp + 1)

    x = np.random.default_rng(0).uniform(-0.05, 0.05, (20, 3)).astype(np.float32)
    rows = z_exp_rows((0.5,), (1.0,))[None]
    found = expression_shades(person(still, shade=shade), rows, x)
    np.testing.assert_allclose(found[0], np.stack([4 * x[:, 0], 8 * x[:, 0]]), atol=1e-6)


@torch.inference_mode()
def test_shades_of_a_model_are_those_of_its_field_at_the_aligned_points() -> None:
    model = Model(small_checkpoint(config=dataclasses.replace(WITH_PLANES, shading=SHADING)))
    generator, rng = model.generator, torch.Generator().manual_seed(1)
    generator.shading.expression_head.weight.normal_(0, 1.0, generator=rng)
    generator.alignment.affine.normal_(0, 0.002, generator=rng)
    z_id, z_exp, z_noise = (torch.randn(1, size, generator=rng) for size in (80, 64, 80))
    x = 0.05 * torch.randn(1, 30, 3, generator=rng)
    condition = person_condition(model, (z_id, z_noise), 1.0)
    found = expression_shades(condition, z_exp.numpy()[None], x[0].numpy())
    with_expression, neutral = (
        generator.condition(Latents(z_id, strength * z_exp, z_noise)) for strength in (1.0, 0.0)
    )
    at = x + generator.alignment.bind(z_id)(x)
    expected = (with_expression.shading(at) / neutral.shading(at)).log()[0, :, 0].numpy()
    assert np.abs(expected).max() > 0.1 and (at - x).abs().max() > 1e-3
    np.testing.assert_allclose(found[0, 0], expected, atol=5e-5)  # sines of up to 36 in float32


def test_a_file_keeps_them(tmp_path: Path) -> None:
    avatar = ball_avatar()
    path = tmp_path / "ball.safetensors"
    save_avatar(path, avatar)
    loaded = load_avatar(path)
    np.testing.assert_allclose(loaded.layered_mesh.shades, avatar.layered_mesh.shades, atol=5e-4)  # float16
    save_avatar(
        path, dataclasses.replace(avatar, layered_mesh=dataclasses.replace(avatar.layered_mesh, shades=None))
    )
    assert load_avatar(path).layered_mesh.shades is None


def test_shades_of_a_kind_that_numpy_does_not_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ball.safetensors"
    save_avatar(path, ball_avatar())
    tensors, texts = read_safetensors(path, "an avatar")
    tensors["shades"] = tensors["shades"].bfloat16()
    path.write_bytes(safetensors_content(tensors, texts))
    assert_one_line(lambda: load_avatar(path), "ball.safetensors: tensor 'shades' is of torch.bfloat16")


@pytest.mark.parametrize("damage", ["short", "not a number"])
def test_damaged_shades_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "ball.safetensors"
    save_avatar(path, ball_avatar())
    with safe_open(path, "np") as file:
        header = {"anifacegan.avatar": file.metadata()["anifacegan.avatar"]}  # without the checksum
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    shades = tensors["shades"]
    tensors["shades"] = shades[:, :, :-1].copy() if damage == "short" else shades * np.float16(np.nan)
    save_file(tensors, path, header)
    with pytest.raises(
        InputError, match="do not belong together" if damage == "short" else "'shades' has values"
    ):
        load_avatar(path)


def test_named_expressions_keep_them() -> None:
    avatar = ball_avatar(own_corners=False)
    named = with_expressions(avatar, ("half", "both"))
    for name in ("half", "both"):
        ours, theirs = (
            of.layered_mesh.posed(of.expressions.coefficients(name) if of is avatar else row).factors
            for of, row in (
                (avatar, None),
                (named, named.layered_mesh.z_exp[("half", "both").index(name)]),
            )
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert np.abs(np.log(ours)).max() > 0.1


def test_a_page_has_them_within_its_precision() -> None:
    part = visible_part(ball_avatar(own_corners=False).layered_mesh, 0.6)
    places, geometry = GridPlaces.of(part.layered_mesh), packed_geometry(part, 6e-5, {})
    allowed = (np.where(part.visible, 1, HIDDEN_TOLERANCE) + 0.5) * SHADE_STEP + 1e-6
    assert geometry.header["shadeStep"] == SHADE_STEP
    for s, p in np.ndindex(*part.layered_mesh.shades.shape[:2]):
        found = SHADE_STEP * decoded_field(whole_numbers(geometry, f"shape.{s}.{p}.shade"), places)
        assert (np.abs(found - part.layered_mesh.shades[s, p]) <= allowed).all()
