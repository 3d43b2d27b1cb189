"""The fit of the alignment field to a face model, on a small model that is a ball."""

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.alignment import AlignmentField
from anifacegan.models.alignment_config import AlignmentConfig
from anifacegan.training.alignment_fit import (
    WEIGHT_FAR,
    WEIGHT_HIDDEN,
    fit_alignment,
    nearest_nodes,
    skin_points,
)
from anifacegan.training.init_config import AlignmentInitConfig
from tests.fixtures.ball_face_model import ball_face_model

LATTICE = AlignmentConfig(
    spacing=0.02, nodes=1500, features=40, lower=(-0.2, -0.2, -0.2), upper=(0.2, 0.2, 0.2)
)
FIT = AlignmentInitConfig(points=4000)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return face_mesh(ball_face_model(rng(0)))


def everything_seen(mesh: FaceMesh) -> np.ndarray:
    return np.ones(len(mesh.mean) // 3, np.float32)


def people(count: int, seed: int) -> Tensor:
    return torch.randn(count, 80, generator=rng(seed))


def test_vertices_of_unseen_people_are_carried_to_the_mean_head(mesh: FaceMesh) -> None:
    field = AlignmentField(LATTICE)
    error = fit_alignment(field, mesh, everything_seen(mesh), people(300, 1), FIT, rng(3))
    mean = WORLD_PER_MODEL_UNIT * torch.from_numpy(mesh.mean).reshape(-1, 3) + torch.from_numpy(
        mesh.world_offset
    )
    moved = WORLD_PER_MODEL_UNIT * people(8, 4) @ torch.from_numpy(mesh.basis[:, :80]).T
    from_mean = moved.unflatten(1, (-1, 3))
    left = field.bind(people(8, 4))(mean + from_mean) + from_mean
    still = from_mean.norm(dim=-1).square().mean().sqrt()
    assert error < 0.3 * still
    assert left.norm(dim=-1).square().mean().sqrt() < 0.4 * still


def test_a_model_that_changes_by_affine_maps_needs_no_nodes(mesh: FaceMesh) -> None:
    """Each entry of z_id stretches, shears and shifts the head."""
    places = mesh.mean.reshape(-1, 3)
    maps = 0.05 * torch.randn(4, 3, 80, generator=rng(0)).numpy()
    offsets = np.einsum("nc,cdi->ndi", np.pad(places, ((0, 0), (0, 1)), constant_values=1.0), maps)
    basis = mesh.basis.copy()
    basis[:, :80] = offsets.reshape(-1, 80)
    field = AlignmentField(LATTICE)
    error = fit_alignment(
        field, FaceMesh(**(vars(mesh) | {"basis": basis})), everything_seen(mesh), people(300, 1), FIT, rng(3)
    )
    size = np.sqrt((WORLD_PER_MODEL_UNIT * offsets) ** 2).mean() * np.sqrt(3 * 80)
    # Points off the skin are what is left: their offset is that of the skin, and the map has another there.
    assert error < 0.1 * size


def test_points_of_hidden_skin_count_little(mesh: FaceMesh) -> None:
    seen = (mesh.mean.reshape(-1, 3)[:, 2] > 0).astype(np.float32)
    points = skin_points(mesh, seen, LATTICE, 3000, rng(0))
    z = points.x[:, 2] - float(mesh.world_offset[2])
    reach = 0.03  # a triangle's size, and the distance from the skin
    assert points.weight[z < -reach].max() < 1.1 * WEIGHT_HIDDEN
    assert set(points.weight[z > reach].mul(1e3).round().int().tolist()) == {
        round(1e3 * (1 + WEIGHT_HIDDEN)),
        round(1e3 * (1 + WEIGHT_HIDDEN) * WEIGHT_FAR),
    }


def test_nodes_are_the_lattice_points_nearest_to_visible_skin(mesh: FaceMesh) -> None:
    points = skin_points(mesh, everything_seen(mesh), LATTICE, 3000, rng(0))
    node, used = nearest_nodes(points, LATTICE)
    assert used == LATTICE.nodes
    assert torch.equal(node[node < used].sort().values, torch.arange(used, dtype=torch.int32))
    steps = torch.stack(torch.meshgrid(*map(torch.arange, LATTICE.lattice), indexing="ij"), -1).flatten(0, 2)
    places = torch.tensor(LATTICE.lower) + LATTICE.spacing * steps
    distance = torch.cdist(places, points.x).amin(1)
    chosen = node.flatten() < used
    rounding = 1e-6
    assert distance[chosen].max() <= distance[~chosen].min() + rounding


def test_the_fit_is_a_function_of_the_generator_alone(mesh: FaceMesh) -> None:
    features = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(features))
        field = AlignmentField(LATTICE)
        fit = AlignmentInitConfig(points=500, iterations=3)
        fit_alignment(field, mesh, everything_seen(mesh), people(100, 1), fit, rng(seed))
        features.append(field.features)
    assert torch.equal(features[0], features[1]) and not torch.equal(features[0], features[2])
