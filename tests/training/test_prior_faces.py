"""Faces of the priors behind those of a data set: who is in the pool, and whose mesh a step looks at."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.visibility import PosedFaces, drawn_visibility
from anifacegan.face_model.bfm import load_bfm
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.prior_faces import JoinedVertices, add_prior_faces, sample_prior_faces
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_bfm import write_tiny_bfm
from tests.fixtures.tiny_training_set import packed, random_latents

ITEMS, HELD_OUT, POOL, PX = 7, 3, 5, 200


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> FaceMesh:
    path: Path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    write_tiny_bfm(path)
    return face_mesh(load_bfm(path))


@pytest.fixture(scope="module")
def latents() -> CoefficientTable:
    return random_latents(ITEMS)


@pytest.fixture
def faces(latents: CoefficientTable) -> TrainingFaces:
    return TrainingFaces(latents, HELD_OUT)


def pool(faces: TrainingFaces, count: int = POOL, seed: int = 0) -> PosedLatents:
    return sample_prior_faces(small_generator(), faces, count, seed)


def visible_of(mesh: FaceMesh, drawn: PosedLatents) -> np.ndarray:
    return drawn_visibility(mesh, PosedFaces(drawn.latents.z_id, drawn.latents.z_exp, drawn.pose, PX))


def with_pool(faces: TrainingFaces, mesh: FaceMesh, share: float) -> tuple[MeshSampler, PosedLatents]:
    drawn = pool(faces)
    sampler = MeshSampler(
        mesh, packed(np.zeros((ITEMS, len(mesh.mean) // 3), bool))
    )  # of the data nothing is seen
    add_prior_faces(faces, sampler, drawn, visible_of(mesh, drawn), share)
    return sampler, drawn


def test_the_pool_is_of_the_priors_before_cameras_of_the_faces_to_learn_from(faces: TrainingFaces) -> None:
    few, more, others = pool(faces), pool(faces, 60), pool(faces, seed=1)
    assert torch.equal(few.latents.z_exp, more.latents.z_exp[:POOL])
    assert not torch.equal(few.latents.z_exp, others.latents.z_exp)
    assert (more.latents.z_exp != 0).any(dim=1).all() and more.latents.z_id.std(dim=0).min() > 0
    before = {tuple(pose) for pose in more.pose.tolist()}
    assert before == {tuple(pose) for pose in faces.pose[: faces.count].tolist()}


def test_without_a_pool_the_draws_are_those_of_the_items(faces: TrainingFaces) -> None:
    assert torch.equal(faces.draw_imitated(50, rng()), faces.draw_items(50, rng()))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_large_a_share_is_of_the_pool_and_nobody_is_held_out(
    share: float, faces: TrainingFaces, mesh: FaceMesh
) -> None:
    _, drawn = with_pool(faces, mesh, share)
    items = faces.draw_imitated(4000, rng())
    of_pool = items >= ITEMS
    assert of_pool.double().mean().item() == pytest.approx(share, abs=0.03)  # four deviations
    assert set(items[~of_pool].tolist()) == (set(range(ITEMS - HELD_OUT)) if share < 1 else set())
    assert set(items[of_pool].tolist()) == (set(range(ITEMS, ITEMS + POOL)) if share else set())
    assert set(faces.draw_items(500, rng()).tolist()) == set(range(ITEMS - HELD_OUT))
    assert torch.equal(faces.z_id[ITEMS:], drawn.latents.z_id) and torch.equal(
        faces.z_exp[ITEMS:], drawn.latents.z_exp
    )


def test_points_of_the_pool_are_on_its_own_meshes(faces: TrainingFaces, mesh: FaceMesh) -> None:
    sampler, drawn = with_pool(faces, mesh, 1.0)
    items = faces.draw_imitated(6, rng(2))
    points = sampler.points(items.numpy(), faces.z_id[items], faces.z_exp[items], 300, rng(3))
    alone = MeshSampler(mesh, visible_of(mesh, drawn))
    places = items - ITEMS
    z_id, z_exp = drawn.latents.z_id[places], drawn.latents.z_exp[places]
    expected = alone.points(places.numpy(), z_id, z_exp, 300, rng(3))
    assert all(torch.equal(value, getattr(expected, name)) for name, value in vars(points).items())
    assert 0.2 < points.confidence.mean() < 0.8


def test_smaller_images_show_fewer_vertices(mesh: FaceMesh, latents: CoefficientTable) -> None:
    visible = [
        drawn_visibility(mesh, PosedFaces(latents.id, latents.exp, latents.pose, size)) for size in (10, PX)
    ]
    fewer, more = (np.unpackbits(bits).mean() for bits in visible)
    assert fewer < 0.8 * more


def test_bits_come_from_the_kind_that_an_item_is_of() -> None:
    first, others = (np.random.default_rng(seed).integers(0, 256, (4, 3), np.uint8) for seed in (0, 1))
    joined = JoinedVertices(first, 4, others)
    for items in ([5, 0, 7, 0, 3, 4], [1, 2], [6]):
        expected = [first[item] if item < 4 else others[item - 4] for item in items]
        np.testing.assert_array_equal(joined[np.array(items)], expected)
