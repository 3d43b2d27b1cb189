"""FID, KID and IS: torch-fidelity's own, on images in memory; and clear words where it cannot be had."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.evaluation.frechet import frechet_distance, gaussian
from anifacegan.evaluation.inception import (
    CACHED_NAME,
    REQUIRED_TENSORS,
    check_weights,
    inception_report,
    inception_weights,
)
from tests.fixtures.one_line import assert_one_line

CPU = torch.device("cpu")
NEEDS_EXTRA = "needs the pins of requirements-dev.txt for the extra 'eval'"


def images(count: int, seed: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Inception network."""
    pytest.importorskip("torch_fidelity", reason=NEEDS_EXTRA)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    built = object.__new__(FeatureExtractorInceptionV3)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    original = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
    torch.save({}, path)
    torch.manual_seed(0)
    built = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    )
    FeatureExtractorInceptionV3.load_state_dict = original
    torch.save(built.state_dict(), path)
    return path


def features(weights: Path, of: torch.Tensor) -> np.ndarray:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )
    with torch.no_grad():
        return network(of)[0].numpy()


@pytest.mark.slow
def test_fid_is_the_frechet_distance_of_inceptions_features_and_kid_its_kernel(weights: Path) -> None:
    """FID by our Gaussians; KID with subsets of everything, which is the whole sum, by its formula."""
    a, b = images(12, 0), images(12, 1) // 2
    found = inception_report(a, b, weights, 4, CPU)
    rows_a, rows_b = features(weights, a), features(weights, b)
    assert found.fid == pytest.approx(frechet_distance(gaussian(rows_a), gaussian(rows_b)), rel=2e-2)
    kernel = [((x.astype(np.float64) @ y.T) / 2048 + 1) ** 3 for x, y in ((rows_a, rows_a), (rows_b, rows_b))]
    cross = ((rows_a.astype(np.float64) @ rows_b.T) / 2048 + 1) ** 3
    within = sum((k.sum() - np.trace(k)) / (12 * 11) for k in kernel)
    assert found.kid_100 == pytest.approx(100 * (within - 2 * cross.mean()), rel=1e-3)
    assert found.inception_score >= 1 and (found.count, found.real_count, found.kid_subset) == (12, 12, 12)


@pytest.mark.slow
def test_the_same_images_have_no_distance(weights: Path) -> None:
    a = images(12, 0)
    found = inception_report(a, a, weights, 12, CPU)
    other = inception_report(a, images(12, 1), weights, 12, CPU)
    assert abs(found.fid) < 0.05 * other.fid


def test_missing_packages_and_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert_one_line(lambda: inception_weights(None), CACHED_NAME, "--inception_weights FILE")
    assert_one_line(lambda: inception_weights(tmp_path / "none.pth"), "none.pth: no such file")
    (tmp_path / "broken.pth").write_text("no weights")
    assert_one_line(lambda: inception_weights(tmp_path / "broken.pth"), "broken.pth: not readable as weights")
    (tmp_path / "checkpoints").mkdir()
    torch.save({name: torch.zeros(1) for name in REQUIRED_TENSORS}, tmp_path / "checkpoints" / CACHED_NAME)
    assert inception_weights(None) == tmp_path / "checkpoints" / CACHED_NAME
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line(lambda: inception_weights(None), "torch-fidelity: not installed", "pip install")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "holds a Tensor"),
        ([torch.zeros(3)], "holds a list"),
        ({"step": 3}, "holds a dict"),
        ({}, "holds a dict"),
        ({"a": torch.zeros(1)}, "not the weights of torch-fidelity's Inception network (no 'Conv2d_1a"),
    ],
)
def test_files_of_something_else_are_refused_without_the_package(
    content: object, said: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert_one_line(lambda: check_weights(tmp_path / "other.pth"), "other.pth: " + said)


def test_too_few_images_and_other_weights_are_refused(tmp_path: Path) -> None:
    """Weights of the same names and other shapes, say."""
    pytest.importorskip("torch_fidelity", reason=NEEDS_EXTRA)
    torch.save({name: torch.zeros(1) for name in REQUIRED_TENSORS}, tmp_path / "other.pth")
    few, enough = images(3, 0), images(10, 0)
    assert_one_line(
        lambda: inception_report(few, enough, tmp_path / "other.pth", 4, CPU), "3 generated", "expected 10"
    )
    assert_one_line(
        lambda: inception_report(enough, enough, tmp_path / "other.pth", 4, CPU), "other.pth: not the"
    )
