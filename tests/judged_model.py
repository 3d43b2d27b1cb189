"""A judge and a generator for the tiny head, so that metrics can be computed in a test: neither has learnt anything."""

from pathlib import Path

import torch

from anifacegan.data import DataConfig, FaceDataset
from anifacegan.metrics.judge import Judge, load_judge
from anifacegan.models.generator import Generator
from anifacegan.models.reconstruction import ReconstructionConfig, ReconstructionNetwork
from anifacegan.reconstruction_files import ReconstructionCard, save_reconstruction
from tests.small_models import small_generator
from tests.tiny_training_set import SIZE

NETWORK = ReconstructionConfig(trunk="plain", size=16, channels=(8, 16))


def write_judge(folder: Path, face_model: str = "anifacegan-open-3", config: ReconstructionConfig = NETWORK) -> Path:
    """A folder with a judge whose every layer is random."""
    network = ReconstructionNetwork(config)
    rng = torch.Generator().manual_seed(0)
    network.initialise(rng)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=rng)
    save_reconstruction(folder, network, ReconstructionCard("tiny judge", face_model))
    return folder


def tiny_judge(set_folder: Path, folder: Path) -> Judge:
    return load_judge(write_judge(folder), set_folder / "face_model.npz", torch.device("cpu"))


def tiny_dataset(set_folder: Path) -> FaceDataset:
    return FaceDataset(DataConfig(set_folder / "data", SIZE))


def generator() -> Generator:
    """Opaque wherever it is, so that there is a surface whose depth and colours can be compared."""
    made = small_generator().eval().requires_grad_(False)
    made.template.sigma_heads[0].bias += 1.0                           # alpha over 0.99 with its gain of 300
    return made
