"""Random paired data and the tiny head's mesh, for all tests of training.

Nothing here imports anifacegan at the top, as in tests/conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from anifacegan.losses.mesh_points import MeshSampler
    from anifacegan.training.paired import PairedData


@pytest.fixture(scope="package", autouse=True)
def _shared_preparation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs on equal data load face models, and draw surfaces, once."""
    from tests.fixtures.shared_preparation import shared_preparation

    with shared_preparation(tmp_path_factory.mktemp("surfaces")):
        yield


@pytest.fixture(scope="module")
def data() -> PairedData:
    from tests.fixtures.small_training_data import random_paired_data

    return random_paired_data()


@pytest.fixture(scope="module")
def mesh() -> MeshSampler:
    from tests.fixtures.small_training_data import tiny_mesh_sampler

    return tiny_mesh_sampler()
