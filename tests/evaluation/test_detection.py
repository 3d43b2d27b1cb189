"""A detector that finds what an image says, and one that is blind: shares and yaws are known."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.evaluation import evaluate
from anifacegan.evaluation.config import EvaluationConfig, SampleConfig
from anifacegan.evaluation.detection import DetectionItems, detection_items
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.face_detector import DetectedFace, FaceDetector
from anifacegan.evaluation.image_sets import EvaluationInputs
from anifacegan.evaluation.samples import detection_views
from anifacegan.evaluation.setup import shipped_expressions
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import load_model
from tests.fixtures.judged_model import generator, tiny_dataset
from tests.fixtures.one_line import assert_one_line

MEAN_FACE = np.random.default_rng(0).uniform(-1, 1, (68, 3)) * [0.8, 0.8, 0.3]
DETECTION = 0.01 * torch.randn(5, 64, generator=torch.Generator().manual_seed(1))


class Reader:
    """Reads the yaw off the first pixel, 100 is frontal and one step 0.01 radians; a black image has no face."""

    def find(self, pixels: np.ndarray) -> DetectedFace | None:
        assert pixels.shape[2] == 3
        if not pixels[0, 0, 0]:
            return None
        yaw = torch.tensor([(float(pixels[0, 0, 0]) - 100) / 100], dtype=torch.float64)
        points = torch.from_numpy(0.06 * MEAN_FACE)[None]
        landmarks = orbit_camera(yaw=yaw, pitch=torch.zeros_like(yaw), size=256).project(points)[0].numpy()
        return DetectedFace(landmarks, landmarks, None)


def test_found_faces_are_counted_and_their_yaws_compared() -> None:
    values = torch.tensor([100, 130, 0, 90, 110, 70])
    images = values[:, None, None, None].expand(-1, 3, 4, 4).byte()
    requested = (values.double() - 100) / 100
    items = detection_items(Reader().find, images, requested, 3, MEAN_FACE)
    assert items.target_yaw.shape == (3, 2) and np.isnan(items.measured_yaw).sum() == 1
    report = items.report()
    assert report.detection_rate == pytest.approx(5 / 6) and (report.images, report.people) == (6, 3)
    assert report.yaw_r > 0.999 and report.yaw_error_deg < 1


def test_numbers_of_known_yaws() -> None:
    found = np.array([[0.1, np.nan], [0.0, 0.3]])
    report = DetectionItems(np.array([[0.0, 0.2], [-0.1, 0.2]]), found).report()
    assert report.yaw_error_deg == pytest.approx(np.rad2deg(0.1))
    assert report.yaw_r == pytest.approx(1.0) and report.detection_rate == 0.75


def test_a_blind_detector_finds_nothing_and_knows_no_yaw() -> None:
    report = DetectionItems(np.zeros((3, 2)), np.full((3, 2), np.nan)).report()
    assert report.detection_rate == 0 and np.isnan(report.yaw_r) and np.isnan(report.yaw_error_deg)


def test_people_are_drawn_again_with_all_their_images() -> None:
    items = DetectionItems(np.zeros((3, 2)), np.array([[0.0, 0.0], [0.0, np.nan], [np.nan, np.nan]]))
    bootstrap_statistics = items.bootstrap_statistics()
    assert dict(bootstrap_statistics.counts) == {"people": 3} and bootstrap_statistics.estimate() == {
        "detection_rate": 0.5
    }
    weights = np.array([[3.0, 0, 0], [0, 1, 2]])
    np.testing.assert_allclose(bootstrap_statistics.compute([weights])["detection_rate"], [1, 1 / 6])


def test_everybody_shows_different_expressions_at_small_yaws() -> None:
    views = detection_views(generator(), 40, 3, DETECTION, seed=2)
    made = (views.latents.z_exp[:, None] == DETECTION).all(-1)  # (120, 5)
    assert (made.sum(1) == 1).all() and (made.unflatten(0, (40, 3)).sum(1) <= 1).all() and made.any(0).all()
    assert views.latents.z_id[0].equal(views.latents.z_id[2]) and not views.latents.z_id[2].equal(
        views.latents.z_id[3]
    )
    pitch, yaw = views.pose.unbind(1)
    assert (pitch == 0).all() and -0.35 <= yaw.min() < -0.3 and 0.3 < yaw.max() <= 0.35
    fewer = detection_views(generator(), 7, 3, DETECTION, seed=2)
    assert fewer.pose.equal(views.pose[:21]) and fewer.latents.z_exp.equal(views.latents.z_exp[:21])


# --------------------------------------------------------------------------------------------------- as a metric
def config() -> EvaluationConfig:
    return EvaluationConfig(("detection",), SampleConfig(size=192), detected_people=2, detected_expressions=9)


def test_it_is_measured_without_a_judge(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "FaceDetector", lambda upsample: Reader())
    head = load_head_geometry(tiny / "face_model.npz")
    inputs = EvaluationInputs(generator(), tiny_dataset(tiny), head=head, expressions=DETECTION)
    report = Evaluation(inputs, config()).measure("detection")
    assert (report.images, report.people, report.expressions) == (10, 2, 5)  # there are no nine


def test_what_is_missing_is_said_in_one_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, dataset = load_head_geometry(tiny / "face_model.npz"), tiny_dataset(tiny)
    inputs = EvaluationInputs(generator(), dataset, head=head, expressions=DETECTION)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "dlib", None)
        assert_one_line(lambda: Evaluation(inputs, config()).measure("detection"), "dlib", "pip install")
    monkeypatch.setattr(evaluate, "FaceDetector", lambda upsample: Reader())
    for lacking in ("head", "expressions"):
        poorer = dataclasses.replace(inputs, **{lacking: None})
        assert_one_line(lambda poorer=poorer: Evaluation(poorer, config()).measure("detection"), "model")


def test_the_shipped_expressions_are_neutral_and_the_presets() -> None:
    model = load_model(Path(__file__).resolve().parents[2] / "checkpoints" / "demo")
    shipped = shipped_expressions(model)
    assert shipped is not None and len(shipped) == 1 + len(model.card.presets) > 5
    assert (shipped[0] == 0).all() and (shipped[1:] != 0).any(1).all()
    assert shipped[1 + list(model.card.presets).index("smile")].equal(model.expression("smile")[0])


def test_dlib_finds_the_demo_and_not_a_grey_image() -> None:
    pytest.importorskip("dlib", reason="the demo-check extra is not installed")
    model = load_model(Path(__file__).resolve().parents[2] / "checkpoints" / "demo")
    detector = FaceDetector(upsample=0)
    assert detector.find(to_bytes(model.face(3).render(yaw=0.1, size=200))) is not None
    assert detector.find(np.full((200, 200, 3), 127, np.uint8)) is None
