"""scripts/check_demo.py: measurements on points whose answer is known, and on puppets that obey or do not."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.rendering.images import write_png
from anifacegan.runtime.errors import InputError
from tests.fixtures.loaded_scripts import load_script

check_demo = load_script("check_demo")


def solid_face(corner_lift: float = 0.0, gap: float = 0.02) -> np.ndarray:
    """68 points in 3D, y up, in eye distances: random but for eyes 0.3 wide and 0.1 high, and a mouth."""
    points = np.random.default_rng(0).uniform(-1, 1, (68, 3)) * [0.8, 0.8, 0.3]
    hexagon = np.array([[-3, 0], [-1, 1], [1, 1], [3, 0], [1, -1], [-1, -1]]) * 0.05
    for first, x in ((36, -0.5), (42, 0.5)):
        points[first : first + 6] = np.column_stack([hexagon + [x, 0.3], np.full(6, 0.1)])
    points[48:] = [0.0, -0.5, 0.2]
    points[[50, 51, 52, 61, 62, 63], 1] += gap / 2
    points[[56, 57, 58, 65, 66, 67], 1] -= gap / 2
    points[[48, 60, 54, 64]] += [[-0.3, corner_lift, -0.1]] * 2 + [[0.3, corner_lift, -0.1]] * 2
    for row in (slice(61, 64), slice(67, 64, -1)):
        points[row, 0] = [-0.1, 0, 0.1]
    return points


def seen_at(points: np.ndarray, yaw: float, size: int = 256) -> np.ndarray:
    """Where the generator's camera sees the points."""
    angle = torch.tensor([yaw], dtype=torch.float64)
    return (
        orbit_camera(yaw=angle, pitch=torch.zeros_like(angle), size=size)
        .project(torch.from_numpy(0.06 * points)[None])[0]
        .numpy()
    )


def flat(points: np.ndarray, unit_px: float = 57.0) -> np.ndarray:
    return 128 + unit_px * points[:, :2] * [1, -1]


@pytest.mark.parametrize("unit_px", [20.0, 57.0])
def test_corner_lift_is_in_eye_distances(unit_px: float) -> None:
    assert check_demo.corner_lift(flat(solid_face(0.17), unit_px)) == pytest.approx(0.17)
    assert check_demo.corner_lift(flat(solid_face(-0.1), unit_px)) == pytest.approx(-0.1)


def test_lip_gap_is_between_the_inner_edges() -> None:
    assert check_demo.lip_gap(flat(solid_face(gap=0.12))) == pytest.approx(0.12)


def test_eye_opening_is_height_by_width() -> None:
    assert check_demo.eye_opening(flat(solid_face())) == pytest.approx(1 / 3)


@pytest.mark.parametrize("yaw", [-0.5, -0.1, 0.0, 0.35])
def test_yaw_is_read_from_a_perspective_image(yaw: float) -> None:
    assert check_demo.head_yaw(seen_at(solid_face(), yaw), solid_face()) == pytest.approx(yaw, abs=0.02)


def test_yaw_hardly_depends_on_pitch_roll_size_place_and_jaw() -> None:
    pitch, roll = 0.2, 0.05
    angle = torch.tensor([0.3], dtype=torch.float64)
    camera = orbit_camera(yaw=angle, pitch=torch.full_like(angle, pitch), size=256)
    seen = camera.project(torch.from_numpy(0.06 * solid_face())[None])[0].numpy()
    turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    seen = 0.5 * seen @ turn + [30, -10]
    seen[:17] += 40
    assert check_demo.head_yaw(seen, solid_face()) == pytest.approx(0.3, abs=0.02)


def test_correlations_are_scipys() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 11)).tolist()
    y[3] = y[5]
    assert check_demo.pearson_correlation(x, y) == pytest.approx(scipy.stats.pearsonr(x, y)[0])
    assert check_demo.rank_correlation(x, y) == pytest.approx(scipy.stats.spearmanr(x, y)[0])


@pytest.mark.parametrize("values", [[0.0, math.nan, 2.0], [1.0, 1.0, 1.0]])
def test_without_a_face_or_a_change_there_is_no_correlation(values: list[float]) -> None:
    assert math.isnan(check_demo.pearson_correlation([0.0, 1.0, 2.0], values))
    assert math.isnan(check_demo.rank_correlation([0.0, 1.0, 2.0], values))


def keys_as_pixels(seed: int, yaw: float, strength: float) -> np.ndarray:
    return np.array([[[seed, round(100 + 100 * yaw), round(100 * strength)]]], np.uint8)


class Puppeteer:
    """Stands for the detector: reads the key back from the pixels, and asks for what is seen there."""

    def __init__(self, landmarks: Callable[[int, float, float], np.ndarray | None]) -> None:
        self.landmarks = landmarks

    def find(self, pixels: np.ndarray, embed: bool = False):
        seed, yaw, strength = (int(value) for value in pixels[0, 0])
        landmarks = self.landmarks(seed, (yaw - 100) / 100, strength / 100)
        if landmarks is None:
            return None
        return check_demo.DetectedFace(landmarks, landmarks, np.eye(128)[seed] if embed else None)

    def boxes(self, pixels: np.ndarray) -> list:
        return [] if self.find(pixels) is None else ["box"]


def obedient(seed: int, yaw: float, strength: float) -> np.ndarray:
    return seen_at(solid_face(0.2 * strength), yaw)


def smiles_from_the_front_only(seed: int, yaw: float, strength: float) -> np.ndarray:
    return obedient(seed, yaw, strength if yaw == 0 or seed != 2 else -strength)


def unseen_once(seed: int, yaw: float, strength: float) -> np.ndarray | None:
    return None if (seed, yaw, strength) == (4, 0.35, 0.7) else obedient(seed, yaw, strength)


def unseen_from_the_side(seed: int, yaw: float, strength: float) -> np.ndarray | None:
    return None if yaw == -0.5 and seed == 5 else obedient(seed, yaw, strength)


def unseen_in_four_frames(seed: int, yaw: float, strength: float) -> np.ndarray | None:
    return None if seed in (1, 2) and yaw in (-0.05, -0.04) else obedient(seed, yaw, strength)


def one_looks_away(seed: int, yaw: float, strength: float) -> np.ndarray:
    return obedient(seed, abs(yaw) if seed == 3 else yaw, strength)


def one_mouth_is_open(seed: int, yaw: float, strength: float) -> np.ndarray:
    return seen_at(solid_face(0.2 * strength, gap=0.15 if seed == 2 else 0.02), yaw)


FRAMES, PEOPLE, RANK, YAW_ALL, YAW_WORST, GAP = range(6)


@pytest.mark.parametrize(
    ("puppet", "missed"),
    [
        (obedient, []),
        (smiles_from_the_front_only, [RANK]),
        (unseen_once, [RANK]),
        (unseen_from_the_side, [YAW_ALL, YAW_WORST]),
        (unseen_in_four_frames, [FRAMES]),
        (one_looks_away, [YAW_ALL, YAW_WORST]),
        (one_mouth_is_open, [GAP]),
    ],
)
def test_each_fault_misses_its_requirement(puppet: Callable, missed: list[int]) -> None:
    config = check_demo.CheckConfig(frames=None)
    metrics = check_demo.measure(config, Puppeteer(puppet), keys_as_pixels, solid_face())
    assert [k for k, row in enumerate(metrics["requirements"]) if not row["met"]] == missed
    assert check_demo.table(metrics).count("| NO |") == len(missed)
    assert metrics["embedding_distance"] == pytest.approx({"within": 0.0, "between": math.sqrt(2)})


def test_four_people_are_too_few() -> None:
    config = check_demo.CheckConfig(frames=None, seeds=(1, 2, 3, 4))
    metrics = check_demo.measure(config, Puppeteer(obedient), keys_as_pixels, solid_face())
    assert [k for k, row in enumerate(metrics["requirements"]) if not row["met"]] == [PEOPLE]


def test_frames_are_read_by_person_and_transparent_ones_lie_on_white(tmp_path: Path) -> None:
    (tmp_path / "seed_1").mkdir()
    write_png(tmp_path / "seed_1" / "frame_000.png", np.zeros((2, 2, 4), np.uint8))
    write_png(tmp_path / "seed_1" / "frame_001.png", np.zeros((2, 2, 3), np.uint8))
    write_png(tmp_path / "sheet.png", np.zeros((2, 2, 3), np.uint8))
    frames = dict(check_demo.saved_frames(tmp_path))
    assert {name: int(pixels.mean()) for name, pixels in frames.items()} == {
        "seed_1/frame_000.png": 255,
        "seed_1/frame_001.png": 0,
    }


def test_a_folder_without_frames_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="render.sh"):
        list(check_demo.saved_frames(tmp_path / "absent"))


def test_missing_dlib_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "dlib" else find_spec(name))
    monkeypatch.setattr(sys, "argv", ["check_demo.py", "--model", "nowhere"])
    with pytest.raises(SystemExit) as stopped:
        check_demo.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.count("\n") == 1 and "dlib" in error and "pip install" in error


def test_the_detector_sees_a_mesh_person_turn_and_smile(face_model: MorphableModel) -> None:
    pytest.importorskip("dlib", reason="the demo-check extra is not installed")
    detector = check_demo.FaceDetector(upsample=0)
    images = check_demo.synthetic_images(check_demo.CheckConfig())
    mean_face = face_model.mean[face_model.landmark_vertices].double().numpy()
    rest, smiling = (detector.find(images(0, 0.0, strength)).landmarks for strength in (0.0, 1.0))
    turned = detector.find(images(0, 0.35, 0.0)).landmarks
    assert check_demo.corner_lift(smiling) > check_demo.corner_lift(rest) + 0.05
    turn = check_demo.head_yaw(turned, mean_face) - check_demo.head_yaw(rest, mean_face)
    assert turn == pytest.approx(0.35, abs=0.12)
