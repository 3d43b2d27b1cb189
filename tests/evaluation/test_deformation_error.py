"""The deformation field against the mesh: fields whose error is known."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry
from anifacegan.evaluation.deformation_error import DeformationError, deformation_items, visible_face_vertices
from anifacegan.evaluation.targets import interocular
from anifacegan.face_model.face_mesh import bare_head
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from tests.fixtures.judged_model import generator
from tests.fixtures.tiny_head import tiny_model, tiny_parts

COUNT = 3


@pytest.fixture(scope="module")
def head() -> HeadGeometry:
    model = tiny_model()
    return head_geometry(model, tiny_parts(model))


def views(scale: float = 1.0) -> PosedLatents:
    rng = torch.Generator().manual_seed(0)
    latents = [torch.randn(COUNT, size, generator=rng) for size in (80, 64, 80)]
    return PosedLatents(
        Latents(latents[0], scale * latents[1], latents[2]), 0.3 * torch.randn(COUNT, 2, generator=rng)
    )


def shape(head: HeadGeometry, z_id: Tensor, z_exp: Tensor) -> Tensor:
    """World units, from the function that the synthetic images are drawn with."""
    return 0.1 * torch.from_numpy(bare_head(head, z_id.numpy(), z_exp.numpy()))


def seen(head: HeadGeometry, posed: PosedLatents, k: int) -> Tensor:
    surfaces, face = FaceSurfaces(head, 12.0), posed[k : k + 1]
    return visible_face_vertices(
        surfaces, face.pose, surfaces.vertices(face.latents.z_id, face.latents.z_exp)
    )


def with_field(head: HeadGeometry, posed: PosedLatents, wrong: Tensor, share: float = 1.0) -> Generator:
    """A field that looks up the mesh's own step of the nearest vertex, times ``share`` and wrong by ``wrong``."""

    def bind(z_id: Tensor, z_exp: Tensor):
        expressive = shape(head, z_id[0], z_exp[0])
        delta = shape(head, z_id[0], torch.zeros(64)) - expressive

        def offset(x: Tensor) -> Tensor:
            nearest = (x[0][:, None] - expressive[None]).norm(dim=-1).argmin(dim=1)
            return (share * delta[nearest] + wrong)[None]

        return offset

    made = generator()
    made.deformation.bind = SimpleNamespace(bind=bind).bind  # type: ignore[method-assign]
    return made


def measured(head: HeadGeometry, made: Generator, posed: PosedLatents) -> DeformationError:
    landmarks = torch.from_numpy(head.landmark_vertices)
    return deformation_items(
        made, FaceSurfaces(head, 12.0), landmarks, posed, np.zeros(64, np.float32)
    ).report()


def test_the_meshs_own_field_has_no_error_and_a_shift_is_the_error(head: HeadGeometry) -> None:
    posed = views()
    right = measured(head, with_field(head, posed, torch.zeros(3)), posed)
    assert right.error_mm < 1e-3 and right.moving_relative < 1e-3 and right.still_mm > 1
    shifted = measured(head, with_field(head, posed, torch.tensor([0.0, 0.003, -0.004])), posed)
    assert shifted.error_mm == pytest.approx(5, rel=1e-3) and shifted.moving_mm == pytest.approx(5, rel=1e-3)
    assert (shifted.still_mm, shifted.vertices) == (right.still_mm, right.vertices)
    neutral = torch.stack([shape(head, z_id, torch.zeros(64)) for z_id in posed.latents.z_id])
    eyes = interocular(neutral[:, torch.from_numpy(head.landmark_vertices)])
    assert shifted.error_interocular == pytest.approx(float((0.005 / eyes).mean()), rel=1e-3)


def test_half_the_step_is_half_the_motion(head: HeadGeometry) -> None:
    posed = views()
    half = measured(head, with_field(head, posed, torch.zeros(3), share=0.5), posed)
    assert half.moving_relative == pytest.approx(0.5, rel=1e-3)
    assert half.error_mm == pytest.approx(half.still_mm / 2, rel=1e-3)


def test_a_field_of_zeros_is_wrong_by_what_the_seen_face_moves(head: HeadGeometry) -> None:
    posed = views()
    still = measured(head, with_field(head, posed, torch.zeros(3), share=0.0), posed)
    steps = []
    for k, (z_id, z_exp) in enumerate(zip(posed.latents.z_id, posed.latents.z_exp, strict=True)):
        step = 1000 * (shape(head, z_id, torch.zeros(64)) - shape(head, z_id, z_exp)).norm(dim=-1)
        steps.append(step[seen(head, posed, k)])
    assert still.error_mm == still.still_mm
    assert still.still_mm == pytest.approx(
        float(torch.stack([step.mean() for step in steps]).mean()), rel=1e-4
    )
    assert still.vertices == sum(map(len, steps)) and still.count == COUNT
    moving = torch.cat(steps)
    assert still.moving_relative == pytest.approx(1, rel=1e-5)
    assert still.moving_mm == pytest.approx(float(moving[moving > 1].mean()), rel=1e-4)


def test_only_the_face_is_measured_and_only_where_it_is_seen(head: HeadGeometry) -> None:
    posed = dataclasses.replace(views(0.0), pose=torch.tensor([[0.0, 0.0], [0.0, 0.6], [0.0, -0.6]]))
    on_face = head.face[head.triangles].all(axis=1)
    corners = np.isin(np.arange(len(head.mean) // 3), head.triangles[on_face])
    masks = [seen(head, posed, k).numpy() for k in range(3)]
    x = head.mean.reshape(-1, 3)[:, 0]
    for mask in masks:
        assert 0 < mask.sum() and not (mask & ~corners).any()
    # At positive yaw the face turns to the image's right: the far side is +x.
    left_share = [float((x[mask] < 0).mean()) for mask in masks]
    assert left_share[1] > left_share[0] > left_share[2]


def test_a_still_face_has_no_moving_vertices(head: HeadGeometry) -> None:
    posed = views(0.0)
    still = measured(head, with_field(head, posed, torch.zeros(3)), posed)
    assert still.still_mm == 0 and np.isnan(still.moving_mm) and np.isnan(still.moving_relative)
