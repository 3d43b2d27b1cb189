"""Options of ``anifacegan measure``."""

from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.data.config import AugmentationConfig, DataConfig
from anifacegan.runtime.devices import Device


@dataclass(frozen=True)
class MeasureRegressorConfig:
    """Measure the errors of a face reconstruction network (a network that estimates face coefficients from an image) on
    images whose true coefficients are known, such as those of 'anifacegan dataset'. Prints a table with columns of
    errors: on the images as they are, of the mean with the estimate of the mirror image (as 'evaluate' and 'fit' use
    it; open face model only), and on augmented images.
    """

    data: DataConfig
    """Data set of images with their exact coefficients, of people that the network was not trained on."""
    network: Path = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network."""
    face_model: Path | None = None
    """File of the face model that network and data belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """How the images are changed at random for the column 'augmented' of the table that is printed."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""
