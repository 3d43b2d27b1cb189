"""Models that the tests of figures draw, written once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model with named expressions."""
    from tests.fixtures.small_models import write_small_model

    return write_small_model(tmp_path_factory.mktemp("models") / "small")
