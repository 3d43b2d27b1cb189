"""What is left out of a layered mesh is not missed in any view within the range."""

import numpy as np
import pytest

from anifacegan.avatars.export import visible_part as module
from anifacegan.avatars.export.visible_part import covered_texels, visible_part
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import play
from tests.fixtures.ball_avatars import ball_avatar


def image(mesh: LayeredMesh, z_exp: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    return play(mesh, mesh.posed(z_exp), yaw=yaw, pitch=pitch, size=96).rgb.numpy()


@pytest.mark.parametrize("rings", [0, 3])
def test_views_within_the_range_show_the_same(rings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RINGS", rings)
    monkeypatch.setattr(module, "OCCLUDER_RINGS", rings)
    mesh = ball_avatar().layered_mesh
    part = visible_part(mesh, 0.3)
    assert len(part.layered_mesh.triangles) < len(mesh.triangles)
    assert part.visible.any() and len(part.visible) == len(part.layered_mesh.vertices)
    for z_exp in (0 * mesh.z_exp[0], mesh.z_exp[0], 0.6 * mesh.z_exp[1]):
        for yaw, pitch in ((0.0, 0.0), (0.28, 0.0), (-0.2, 0.1)):
            full, reduced = image(mesh, z_exp, yaw, pitch), image(part.layered_mesh, z_exp, yaw, pitch)
            different = np.abs(full - reduced).max(0) > 1 / 255
            assert different.mean() < (0.002 if rings else 0.03)


def test_a_narrow_range_needs_fewer_triangles() -> None:
    mesh = ball_avatar().layered_mesh
    wide, narrow = (len(visible_part(mesh, angle).layered_mesh.triangles) for angle in (0.6, 0.1))
    assert narrow < wide


def test_texels_under_triangles_are_covered_and_far_ones_not() -> None:
    mesh = ball_avatar().layered_mesh
    part = visible_part(mesh, 0.1).layered_mesh
    covered = covered_texels(part)
    assert covered.shape == mesh.textures.shape[:3] and 0 < covered.mean() < 1
    layer = np.repeat(np.arange(len(mesh.textures)), np.diff(part.layer_starts))
    column, row = np.rint(part.texels[part.triangles[:, 0]]).astype(int).T
    assert covered[layer, row, column].all()
