"""The shipped face reconstruction networks know people whom nobody has drawn before, and are two different ones."""

from pathlib import Path

import pytest
import torch

from anifacegan.data.config import NO_AUGMENTATION, DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.renderer import SyntheticRenderer, render_item
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.model_folder import TENSORS, read_tensors
from anifacegan.models.regressor_checkpoints import FaceRegressorCard, load_face_regressor
from anifacegan.runtime.typed_config import from_plain, read_config
from anifacegan.training.regressor.config import ReconstructionRun
from anifacegan.training.regressor.data import FaceImages, load_images
from anifacegan.training.regressor.report import held_out_report

HOME = Path(__file__).resolve().parents[2]
CHECKPOINTS = HOME / "checkpoints"
COUNT, SIZE, SEED = 24, 256, 20_260
"""People of a seed that no data set in the documentation has."""
NAMES = ("reconstruction", "judge")


@pytest.fixture(scope="module")
def unseen(real_renderer: SyntheticRenderer, tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    from PIL import Image

    from anifacegan.face_model.coefficients import write_coefficients

    folder = tmp_path_factory.mktemp("unseen")
    for index in range(COUNT):
        image, face = render_item(real_renderer, SEED, index, SIZE)
        Image.fromarray(image).save(folder / f"{index:03d}.png")
        write_coefficients(folder / f"{index:03d}.mat", face)
    return FaceDataset(DataConfig(folder, SIZE))


def shipped(name: str) -> tuple[FaceRegressor, FaceRegressorCard]:
    return load_face_regressor(CHECKPOINTS / name)


@pytest.mark.parametrize("name", NAMES)
def test_it_sees_pose_landmarks_and_expressions_of_strangers(
    name: str, unseen: FaceDataset, face_model: MorphableModel
) -> None:
    """Loosely, as the images are few; docs/face_model.md has the errors on 300."""
    network, card = shipped(name)
    assert card.face_model == face_model.name
    images: FaceImages = load_images(unseen, network.config.frame)
    landmarks = FaceLandmarks(face_model, network.config.camera)
    report = held_out_report(network, landmarks, images, NO_AUGMENTATION)
    assert report["yaw_deg"] < 2 and report["pitch_deg"] < 2
    assert report["landmarks_px"] < 1.5
    assert report["exp_correlation"] > 0.65


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_in_half_precision_and_computes_in_single(name: str) -> None:
    stored = read_tensors(CHECKPOINTS / name / TENSORS).values()
    assert {tensor.dtype for tensor in stored} <= {torch.float16, torch.int64}
    network = shipped(name)[0]
    assert {tensor.dtype for tensor in network.state_dict().values()} <= {torch.float32, torch.int64}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_the_judge_is_another_network() -> None:
    (one, first), (other, second) = (shipped(name) for name in NAMES)
    assert one.config.backbone != other.config.backbone
    assert first.training["seed"] != second.training["seed"]


def test_their_cards_say_how_they_were_made() -> None:
    for name in NAMES:
        card = shipped(name)[1]
        assert card.training["data"].startswith("python scripts/make_synthetic_dataset.py --out data/demo ")
        command = card.training["command"]
        start = f"python train.py --config configs/{name}.yaml "
        assert command.startswith(f"{start}--initial_model MODEL ")
        file, options = HOME / "configs" / f"{name}.yaml", command.removeprefix(start).split()
        assert read_config(ReconstructionRun, ["--config", str(file), *options], "train.py") == from_plain(
            ReconstructionRun, card.training["config"], name
        )
        assert "anifacegan-open-2" in card.training["history"]  # what MODEL was
        assert card.licence == "MIT"
        assert torch.tensor(list(card.training["errors"].values())).isfinite().all()
