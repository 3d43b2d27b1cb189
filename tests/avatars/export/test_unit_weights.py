"""Coefficients become weights of action units, recorded blendshapes stay what they are, poses become rotations."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from anifacegan.avatars.export.morph_targets import arkit_units
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.unit_weights import head_rotations, read_unit_sequence, weights_of
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.runtime.errors import InputError
from tests.fixtures.tiny_person import tiny_avatar, tiny_shape


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> PersonShape:
    return tiny_shape(tmp_path_factory.mktemp("face_model"))


def test_weights_that_made_the_coefficients_are_found(shape: PersonShape) -> None:
    units = arkit_units(shape)
    weights = np.zeros((2, len(units)))
    weights[0, units.index("jawOpen")], weights[1, units.index("eyeBlinkLeft")] = 0.8, 1.0
    weights[1, units.index("mouthSmileRight")] = 0.3
    columns = [shape.basis.names.index(unit) for unit in units]
    z_exp = (weights @ shape.basis.units_to_exp[:, columns].T).astype(np.float32)
    found, missed = weights_of(shape, units, z_exp)
    np.testing.assert_allclose(found, weights, atol=0.02)
    assert missed < 0.02


def test_what_no_unit_makes_is_reported(shape: PersonShape) -> None:
    units = arkit_units(shape)[:2]
    columns = shape.basis.units_to_exp[:, [shape.basis.names.index(unit) for unit in units]]
    found, missed = weights_of(shape, units, -columns.T.astype(np.float32))
    assert (found >= 0).all() and missed > 0.5


@pytest.mark.parametrize(("yaw", "pitch"), [(0.4, 0.0), (0.0, 0.3), (-0.5, -0.2)])
def test_a_turned_head_looks_to_the_frontal_camera_as_the_turned_camera_sees_it(
    yaw: float, pitch: float
) -> None:
    from scipy.spatial.transform import Rotation

    points = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3))
    (quaternion,) = head_rotations(yaw=np.array([yaw]), pitch=np.array([pitch]))
    turned = Rotation.from_quat(quaternion).apply(points)

    def seen(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
        angles = {"yaw": torch.tensor([yaw]).double(), "pitch": torch.tensor([pitch]).double()}
        return orbit_camera(**angles, size=100).project(torch.from_numpy(points)[None])[0].numpy()

    np.testing.assert_allclose(seen(turned, 0.0, 0.0), seen(points, yaw, pitch), atol=1e-5)


def test_recorded_blendshapes_are_weights(shape: PersonShape, tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text("jawOpen,eyeBlinkLeft\n0,0.5\n1,0.25\n")
    sequence = read_unit_sequence(path, tiny_avatar(shape).expressions, shape, arkit_units(shape))
    np.testing.assert_allclose(sequence.weights["jawOpen"], [0, 1])
    np.testing.assert_allclose(sequence.weights["eyeBlinkLeft"], [0.5, 0.25])
    assert sequence.rotation is None and sequence.missed == 0


def test_poses_of_a_mat_file_turn_the_head(shape: PersonShape, tmp_path: Path) -> None:
    z_exp = np.stack([np.zeros(64), shape.basis.from_strengths({"jawOpen": 1.0})]).astype(np.float32)
    facts = {"exp": z_exp, "face_model": "anifacegan-open-4"}
    scipy.io.savemat(tmp_path / "still.mat", facts)
    scipy.io.savemat(tmp_path / "turned.mat", facts | {"pose": np.array([[0.0, 0.0], [0.1, 0.3]])})
    scipy.io.savemat(tmp_path / "far.mat", facts | {"pose": np.array([[0.0, 0.0], [0.1, 3.0]])})
    expressions, units = tiny_avatar(shape).expressions, arkit_units(shape)
    assert read_unit_sequence(tmp_path / "still.mat", expressions, shape, units).rotation is None
    found = read_unit_sequence(tmp_path / "turned.mat", expressions, shape, units)
    assert found.rotation is not None
    np.testing.assert_allclose(found.rotation[0], [0, 0, 0, 1], atol=1e-7)
    assert abs(found.weights["jawOpen"][1] - 1) < 0.02 and found.weights["jawOpen"][0] == 0
    with pytest.raises(InputError, match="frame 1: yaw 3"):
        read_unit_sequence(tmp_path / "far.mat", expressions, shape, units)
