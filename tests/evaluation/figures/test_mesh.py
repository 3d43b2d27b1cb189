"""Extraction of a mesh needs optional packages."""

import sys
from pathlib import Path

import pytest

from anifacegan.evaluation.figures import (
    mesh,
)
from tests.fixtures.one_line import assert_one_line


def test_a_mesh_without_its_packages_says_how_to_get_them(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    config = mesh.MeshConfig(model=small, out=tmp_path)
    assert_one_line(lambda: mesh.draw(config), "trimesh: not installed", "pip install scikit-image trimesh")
