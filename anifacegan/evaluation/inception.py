"""FID, KID and Inception Score by torch-fidelity, on 8-bit images in memory.

    FID   Frechet distance of Inception-v3's 2048 features                            (Heusel et al. 2017)
    KID   squared maximum mean discrepancy of the same features, times 100            (Binkowski et al. 2018)
    IS    exponential of the mean over images of KL(class probabilities of the image, their mean over all images)
                                                                                      (Salimans et al. 2016)

The weights of the Inception network are read from a file that the user names, or from PyTorch's cache, where
torch-fidelity keeps them. Nothing is downloaded.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from anifacegan.evaluation.bootstrap import BootstrapStatistics
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_files import read_pytorch

CACHED_NAME = "weights-inception-2015-12-05-6726825d.pth"
"""File name of torch-fidelity's weights in PyTorch's cache."""
REQUIRED_TENSORS = ("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight", "fc.weight")
"""Tensors of the first layer, the last block and the classifier, by which a weights file is recognised."""
KID_SUBSET = 1000
"""Number of images in each random subset that KID is computed on; all images if there are fewer."""
INSTALL = "pip install torch-fidelity"
FEWEST = 10
"""Smallest number of images: the Inception Score is a mean over ten parts of them."""


@dataclass(frozen=True)
class InceptionReport:
    """FID, KID and Inception Score; lower is better except for the Inception Score."""

    fid: float
    """Frechet Inception Distance."""
    kid_100: float
    """Kernel Inception Distance times 100."""
    kid_100_deviation: float
    """Standard deviation of KID times 100 over the random subsets of images that KID is averaged over."""
    inception_score: float
    """Inception Score of the generated images."""
    inception_score_deviation: float
    """Standard deviation of the Inception Score over the ten parts of the images that it is averaged over."""
    count: int
    """Number of generated images."""
    real_count: int
    """Number of real images."""
    kid_subset: int
    """Number of images in each of KID's 100 subsets."""


@dataclass(frozen=True)
class InceptionItems:
    """Results of torch-fidelity. It gives no value for each image, so they cannot be resampled and have no interval."""

    result: InceptionReport
    """FID, KID and Inception Score."""

    def report(self) -> InceptionReport:
        """Return FID, KID and Inception Score."""
        return self.result

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return FID, KID and Inception Score as single values that are the same in every bootstrap draw.

        They get no confidence interval.
        """
        values = {name: getattr(self.result, name) for name in ("fid", "kid_100", "inception_score")}
        return BootstrapStatistics(
            {}, lambda weights: {name: np.array([value]) for name, value in values.items()}
        )


class _ImageDataset(Dataset):
    """Images in memory, in the form that torch-fidelity reads."""

    def __init__(self, images: UInt8[Tensor, "item 3 height width"]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:
        return self.images[index]


def inception_weights(path: Path | None) -> Path:
    """Check the file of Inception weights and return its path: ``path``, or the file in PyTorch's cache if it is None.

    Raises:
        InputError: torch-fidelity is not installed, or the file is missing or not the right weights.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise InputError(f"torch-fidelity: not installed, needed for FID, KID and IS: {INSTALL}")
    if path is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / CACHED_NAME
        if not path.is_file():
            raise InputError(
                f"{path}: no Inception weights in the cache, expected them or --inception_weights FILE"
            )
    check_weights(path)
    return path


def check_weights(path: Path) -> None:
    """Check that a file holds Inception weights; torch-fidelity itself is not needed.

    Raises:
        InputError: the file is missing, unreadable, or does not hold the tensors of the Inception network.
    """
    # torch-fidelity itself loads without weights_only and so would run code that the file holds.
    state = read_pytorch(path, f"torch-fidelity's Inception weights ({CACHED_NAME})")
    is_state = isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())
    if not is_state or not state:
        raise InputError(
            f"{path}: holds a {type(state).__name__}, expected the named tensors of {CACHED_NAME}"
        )
    missing = [name for name in REQUIRED_TENSORS if name not in state]
    if missing:
        raise InputError(f"{path}: not the weights of torch-fidelity's Inception network (no '{missing[0]}')")


def inception_report(
    generated: UInt8[Tensor, "item 3 size size"],
    real: UInt8[Tensor, "real_item 3 size size"],
    weights: Path,
    batch: int,
    device: torch.device,
) -> InceptionReport:
    """Compute FID, KID and Inception Score.

    Args:
        generated: generated images.
        real: real images.
        weights: file of the Inception network's weights, see :func:`inception_weights`.
        batch: images per forward pass of the Inception network.
        device: where the network computes.

    Raises:
        InputError: fewer than ten images, or weights of another network.
    """
    import torch_fidelity

    fewest = min(len(generated), len(real))
    if fewest < FEWEST:
        raise InputError(
            f"inception: {len(generated)} generated and {len(real)} real images, expected {FEWEST} each"
        )
    subset = min(KID_SUBSET, fewest)
    try:
        metrics = torch_fidelity.calculate_metrics(
            input1=_ImageDataset(generated),
            input2=_ImageDataset(real),
            fid=True,
            kid=True,
            isc=True,
            kid_subset_size=subset,
            feature_extractor_weights_path=str(weights),
            batch_size=batch,
            cuda=device.type == "cuda",
            save_cpu_ram=True,  # no worker processes for images in memory
            cache=False,
            verbose=False,
        )
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise InputError(f"{weights}: not the weights of torch-fidelity's Inception network") from None
    return InceptionReport(
        fid=metrics[torch_fidelity.KEY_METRIC_FID],
        kid_100=100 * metrics[torch_fidelity.KEY_METRIC_KID_MEAN],
        kid_100_deviation=100 * metrics[torch_fidelity.KEY_METRIC_KID_STD],
        inception_score=metrics[torch_fidelity.KEY_METRIC_ISC_MEAN],
        inception_score_deviation=metrics[torch_fidelity.KEY_METRIC_ISC_STD],
        count=len(generated),
        real_count=len(real),
        kid_subset=subset,
    )
