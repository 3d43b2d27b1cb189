"""FID, KID and Inception Score: torch-fidelity's, on 8-bit images in memory.

    FID   Frechet distance of Inception-v3's 2048 features                            (Heusel et al. 2017)
    KID   squared maximum mean discrepancy of the same features, times 100            (Binkowski et al. 2018)
    IS    exp of the mean divergence of the classes of an image from those of all    (Salimans et al. 2016)

The network's weights are the user's file, or the copy that torch-fidelity keeps in PyTorch's cache. Nothing is
downloaded here.
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
from anifacegan.runtime.errors import InputError, first_line

CACHED_NAME = "weights-inception-2015-12-05-6726825d.pth"
SOME_TENSORS = ("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight", "fc.weight")
"""Of the network: its first, its last, and its classes."""
KID_SUBSET = 1000
INSTALL = "pip install torch-fidelity"
FEWEST = 10
"""Images: the Inception Score is a mean over ten parts."""


@dataclass(frozen=True)
class InceptionReport:
    """Lower is better but for the score."""

    fid: float
    kid_100: float
    """KID times 100."""
    kid_100_deviation: float
    """Standard deviation over subsets."""
    inception_score: float
    """Of the generated images alone."""
    inception_score_deviation: float
    """Standard deviation over ten parts."""
    count: int
    real_count: int
    kid_subset: int
    """Images of each of KID's hundred subsets."""


@dataclass(frozen=True)
class InceptionNumbers:
    """Numbers of whole sets: torch-fidelity gives no value of an image, so they have no interval."""

    found: InceptionReport

    def report(self) -> InceptionReport:
        return self.found

    def bootstrap_statistics(self) -> BootstrapStatistics:
        values = {name: getattr(self.found, name) for name in ("fid", "kid_100", "inception_score")}
        return BootstrapStatistics(
            {}, lambda weights: {name: np.array([value]) for name, value in values.items()}
        )


class _InMemory(Dataset):
    """Images as torch-fidelity takes them."""

    def __init__(self, images: UInt8[Tensor, "item 3 height width"]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:
        return self.images[index]


def inception_weights(path: Path | None) -> Path:
    """The file with the weights: the user's, or the one in PyTorch's cache.

    Raises:
        InputError: torch-fidelity is not installed, or there is no such file, or it holds no weights.
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
    """Read a file of weights, without the package that they are for.

    Raises:
        InputError: there is no such file, or it holds other things than named tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected torch-fidelity's Inception weights ({CACHED_NAME})")
    try:
        state = torch.load(
            path, weights_only=True, map_location="cpu"
        )  # torch-fidelity would run code that it holds
    except Exception as error:  # many kinds for a broken file
        raise InputError(f"{path}: not a readable file of weights ({first_line(error)})") from None
    if not (
        isinstance(state, dict) and state and all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise InputError(
            f"{path}: holds a {type(state).__name__}, expected the named tensors of {CACHED_NAME}"
        )
    missing = [name for name in SOME_TENSORS if name not in state]
    if missing:
        raise InputError(f"{path}: not the weights of torch-fidelity's Inception network (no '{missing[0]}')")


def inception_report(
    generated: UInt8[Tensor, "item 3 size size"],
    real: UInt8[Tensor, "real_item 3 size size"],
    weights: Path,
    batch: int,
    device: torch.device,
) -> InceptionReport:
    """All three; ``weights`` are those of :func:`inception_weights`.

    Raises:
        InputError: too few images, or weights of another network.
    """
    import torch_fidelity

    fewest = min(len(generated), len(real))
    if fewest < FEWEST:
        raise InputError(
            f"inception: {len(generated)} generated and {len(real)} real images, expected {FEWEST} each"
        )
    subset = min(KID_SUBSET, fewest)
    try:
        found = torch_fidelity.calculate_metrics(
            input1=_InMemory(generated),
            input2=_InMemory(real),
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
        fid=found[torch_fidelity.KEY_METRIC_FID],
        kid_100=100 * found[torch_fidelity.KEY_METRIC_KID_MEAN],
        kid_100_deviation=100 * found[torch_fidelity.KEY_METRIC_KID_STD],
        inception_score=found[torch_fidelity.KEY_METRIC_ISC_MEAN],
        inception_score_deviation=found[torch_fidelity.KEY_METRIC_ISC_STD],
        count=len(generated),
        real_count=len(real),
        kid_subset=subset,
    )
