"""The golden set: released files load as they are and look as brute force saw them in double precision.

Every tolerance is the set's own, a bound on float32 rounding (tests/golden/README.md).
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.model import Model, load_model
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import InputError
from tests.golden.make import PARTS, brute_force_results, make

FOLDER = Path(__file__).resolve().parents[1] / "golden"
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(FOLDER)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(FOLDER / "expected.npz").items()}


def golden_case(model: Model, expected: dict[str, Tensor], case: int) -> tuple[ConditionedFields, Rays]:
    """The conditioned fields and the rays of one of the images."""
    strength, pitch, yaw = expected["cases"][case].float()
    latents = Latents(expected["z_id"], strength * expected["z_exp"], expected["z_noise"])
    fields = model.generator.condition(latents, expected["psi"].item())
    return fields, image_rays(yaw=yaw[None], pitch=pitch[None], size=expected["depth"].shape[-1])


def assert_within(got: Tensor, expected: dict[str, Tensor], name: str, case: int | None = None) -> None:
    """Equal to what is stored, up to the tolerance stored with it."""
    target = expected[name] if case is None else expected[name][case]
    tolerance = expected[f"tolerance_{name}"].item()
    torch.testing.assert_close(got.reshape(target.shape), target, atol=tolerance, rtol=0)


def test_the_tolerances_are_tighter_than_what_the_renderer_promises(expected: dict[str, Tensor]) -> None:
    """5e-4 of a colour in [0, 1], 1e-4 of a distance."""
    for name in PARTS:
        assert 0 < expected[f"tolerance_{name}"] < (5e-4 if name == "colours" else 1e-4), name


def test_the_cases_differ_and_hit_and_miss_manifolds(expected: dict[str, Tensor]) -> None:
    """Manifolds met and missed, the background through the head, and another image for every case."""
    assert 0.5 < expected["hit"].float().mean() < 0.9
    assert 0.3 < expected["colours"][:, 3].mean() < 0.8
    assert expected["colours"][:, :3].std() > 0.1
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (expected["colours"][one] - expected["colours"][other]).abs().mean() > 0.05


@torch.no_grad()
def test_the_coefficient_networks_decode(model: Model, expected: dict[str, Tensor]) -> None:
    for name in ("identity", "expression"):
        prior = getattr(model.generator, f"{name}_prior")
        assert_within(prior.decode(expected[f"{name}_latent"]), expected, name)


@pytest.mark.parametrize("case", range(3))
@torch.no_grad()
def test_rays_meet_manifolds_and_see_colours(model: Model, expected: dict[str, Tensor], case: int) -> None:
    fields, rays = golden_case(model, expected, case)
    seen = render_rays(fields, rays)
    hit = expected["hit"][case]
    assert torch.equal(seen.hit[0, :, :-1], hit)
    colours = torch.cat([seen.rgb[0], seen.foreground[0, :, None], seen.foreground_rgb[0]], dim=-1)
    assert_within(colours.T, expected, "colours", case)
    assert_within(seen.depth, expected, "depth", case)
    assert_within(seen.t[0, :, :-1] * hit, expected, "distances", case)
    assert_within(seen.x_template[0, :, :-1] * hit[..., None], expected, "template_points", case)


@pytest.mark.parametrize("case", range(3))
def test_face_image_gives_the_same_image(model: Model, expected: dict[str, Tensor], case: int) -> None:
    strength, pitch, yaw = expected["cases"][case].tolist()
    z_exp = (strength * expected["z_exp"])[0].numpy()
    latents = (expected["z_id"], expected["z_noise"])
    face = model.face(latents=latents, expression=z_exp, psi=expected["psi"].item())
    image = face.image(yaw=yaw, pitch=pitch, size=expected["depth"].shape[-1], antialias=False)
    colours = torch.cat([image.rgb, image.foreground, image.foreground_rgb])
    assert_within(colours, expected, "colours", case)  # all of them are in [0, 1]
    assert_within(image.depth, expected, "depth", case)


def test_brute_force_in_single_precision_agrees(model: Model, expected: dict[str, Tensor]) -> None:
    seen = brute_force_results(model.generator, expected)
    assert torch.equal(seen["hit"], expected["hit"])
    for name in PARTS:
        assert_within(seen[name], expected, name)


@torch.no_grad()
def test_another_unit_of_the_offset_would_be_noticed(model: Model, expected: dict[str, Tensor]) -> None:
    """The released model reads colours 1 / 0.12 of the manifolds' offset away, its least visible peculiarity."""
    fields, rays = golden_case(model, expected, 1)
    seen = render_rays(dataclasses.replace(fields, radiance_offset_gain=1.0), rays)
    error = (seen.rgb[0].T.reshape(3, *expected["depth"].shape[-2:]) - expected["colours"][1, :3]).abs().max()
    assert error > 10 * expected["tolerance_colours"]


def test_the_set_is_small() -> None:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_it_is_never_made_again() -> None:
    before = {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    with pytest.raises(InputError, match="exists, expected a new folder"):
        make(FOLDER)
    assert {path: path.stat().st_mtime_ns for path in FOLDER.iterdir() if path in before} == before
