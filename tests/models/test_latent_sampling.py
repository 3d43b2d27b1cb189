"""Faces and cameras of a step: distributed as the configuration says, the same in any batch."""

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import image_rays
from anifacegan.models.config import ViewSamplingConfig
from anifacegan.models.latent_sampling import PosedLatents, sample_generators, sample_posed_latents
from tests.fixtures.small_models import small_generator

POSES = torch.tensor([[0.1, -0.5], [0.2, 0.0], [-0.3, 0.4]])


def drawn(config: ViewSamplingConfig, count: int, step: int = 0, first: int = 0) -> PosedLatents:
    rngs = sample_generators(0, step, 0, range(first, first + count))
    return sample_posed_latents(small_generator(), POSES, config, rngs)


def columns(views: PosedLatents) -> list[Tensor]:
    return [views.latents.z_id, views.latents.z_exp, views.latents.z_noise, views.pose]


def test_a_face_is_the_same_whichever_part_of_a_batch_draws_it() -> None:
    """So that several processes, each with its part, draw what one process would."""
    whole = drawn(ViewSamplingConfig(), 5)
    for one, other in zip(columns(drawn(ViewSamplingConfig(), 2, first=3)), columns(whole[3:]), strict=True):
        assert torch.equal(one, other)


def test_every_sample_step_and_purpose_draws_something_else() -> None:
    generators = [
        *sample_generators(0, 0, 0, range(3)),
        *sample_generators(0, 1, 0, range(3)),
        *sample_generators(0, 0, 1, range(3)),
        *sample_generators(1, 0, 0, range(3)),
    ]
    assert len({torch.rand((), generator=rng).item() for rng in generators}) == 12


def test_poses_of_the_data_set_are_drawn_as_they_are() -> None:
    seen = {tuple(pose) for pose in drawn(ViewSamplingConfig(poses="data"), 40).pose.tolist()}
    assert seen == {tuple(pose) for pose in POSES.tolist()}


def test_gaussian_poses_have_their_deviations() -> None:
    config = ViewSamplingConfig(poses="gaussian", pitch_deviation=0.155, yaw_deviation=0.3)
    pose = drawn(config, 800).pose
    assert pose.std(0).tolist() == pytest.approx([0.155, 0.3], rel=0.1)  # four deviations of the estimate
    assert pose.mean(0).tolist() == pytest.approx([0, 0], abs=0.045)


def test_gaussian_poses_are_clamped() -> None:
    pose = drawn(
        ViewSamplingConfig(poses="gaussian", pitch_deviation=1.5, yaw_deviation=1.5, limit=0.4), 40
    ).pose
    assert pose.abs().max().item() == pytest.approx(0.4) and (pose.abs() < 0.4).any()


@pytest.mark.parametrize("ratio, least, most", [(0.0, 0, 0), (1.0, 60, 60), (0.25, 4, 26)])
def test_the_neutral_share_of_faces_has_no_expression(ratio: float, least: int, most: int) -> None:
    z_exp = drawn(ViewSamplingConfig(neutral_ratio=ratio), 60).latents.z_exp
    assert least <= int((z_exp == 0).all(dim=1).sum()) <= most


def test_expressions_are_decoded_from_their_prior() -> None:
    generator = small_generator()
    with torch.no_grad():
        generator.expression_prior.output[2].weight.zero_()
        generator.expression_prior.output[2].bias.fill_(0.7)
    views = sample_posed_latents(
        generator, POSES, ViewSamplingConfig(neutral_ratio=0.0), sample_generators(0, 0, 0, range(2))
    )
    assert torch.allclose(views.latents.z_exp, torch.full((2, 64), 0.7))
    assert not views.latents.z_exp.requires_grad


def test_rays_are_those_of_the_posed_camera() -> None:
    views = drawn(ViewSamplingConfig(), 2)
    expected = image_rays(yaw=views.pose[:, 1], pitch=views.pose[:, 0], size=4, fov_deg=12.0)
    assert torch.equal(views.rays(4, 12.0).directions, expected.directions)
    assert torch.equal(views.rays(4, 12.0).origins, expected.origins)


@pytest.mark.parametrize("change", [{"yaw_deviation": -1.0}, {"limit": -0.1}, {"neutral_ratio": 1.1}])
def test_impossible_views_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(change))} is "):
        ViewSamplingConfig(**change)
