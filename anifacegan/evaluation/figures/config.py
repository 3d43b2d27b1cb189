"""Options of every figure."""

from dataclasses import dataclass, fields
from pathlib import Path

from anifacegan.face_model.config import require_psi
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import (
    ConfigError,
    require_above,
    require_at_least,
    require_memory,
    require_seeds,
    require_unused,
    require_within,
)
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.runtime.seeds import expanded_seeds
from anifacegan.runtime.typed_config import as_tuple

MOST_PANELS = 1000
"""Largest number of people, expressions, views or steps of a figure."""
BYTES_OF_A_PIXEL = 40
"""Memory that a figure needs for each pixel of an image: colours, depth, and copies of them."""


@dataclass(frozen=True)
class FigureConfig:
    """Options that all figures of a model share."""

    model: Path = Path("checkpoints/demo")
    """Model folder, name of a shipped model, or folder with AniFaceGAN's released files."""
    out: OutputFolder = Path("runs/figures")
    """Folder for NAME.png, NAME.yaml (the options; --config NAME.yaml makes the same figure again) and NAME.json (what
    the figure shows)."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
    seeds: int | str | tuple[int | str, ...] = (1, 2, 3)
    """Random seeds of the people, one seed for each person; 1-12 means twelve people. A figure of one person shows the
    first."""
    expressions: str | tuple[str, ...] | None = None
    """Expressions: names such as smile, mixtures such as smile=0.7,blink=0.3, .mat files, or drawn:SEED for a random
    sample of the model's expression prior. A figure of one expression shows the first one. null: the model's named
    expressions, or six samples of its expression prior if it has none."""
    size: int = 128
    """Height and width of each face in the figure, pixels."""
    psi: float = 0.7
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 1024:
            raise ConfigError("size", self.size, "8 to 1024")
        require_psi("psi", self.psi)
        seeds = selected_seeds(self)
        require_seeds(seeds)
        if self.expressions is not None and not self.expressions:
            raise ValueError("expressions is empty, expected names, .mat files, drawn:SEED, or null")
        for field in fields(self):
            values = getattr(self, field.name)
            count = len(seeds) if field.name == "seeds" else len(as_tuple(values))
            if count > MOST_PANELS:
                raise ConfigError(field.name, f"{count} values", f"at most {MOST_PANELS}")
        self.require_panels("seeds", len(seeds))

    def require_panels(self, name: str, count: int) -> None:
        """Require that a number of images, which the option ``name`` asks for, fits into memory beside each other."""
        require_memory(self, BYTES_OF_A_PIXEL * self.size**2 * count, name, "size")

    def require_two_people(self) -> None:
        """Require the seeds of at least two people, as a figure needs that goes from one person to the next."""
        seeds = selected_seeds(self)
        if len(seeds) < 2:
            raise ConfigError("seeds", list(seeds), "two or more to go from one person to the next")


def selected_seeds(config: FigureConfig) -> tuple[int, ...]:
    """Return the seeds of a figure as a tuple."""
    return expanded_seeds(config.seeds)


@dataclass(frozen=True)
class ExpressionViewsConfig(FigureConfig):
    """Draw one person with every expression from every view."""

    yaw: float | tuple[float, ...] = (-0.5, -0.25, 0.0, 0.25, 0.5)
    """Yaw of each view at pitch 0, radians from frontal; positive: the face turns to the image's right."""
    pitch: float | tuple[float, ...] = (-0.25, 0.25)
    """Pitch of each further view at yaw 0, radians from frontal; positive: the face looks down."""


@dataclass(frozen=True)
class IdentitiesConfig(FigureConfig):
    """Draw one expression on many people."""

    count: int = 18
    """Number of people: the people of --seeds, then people whose seeds follow the largest of them."""
    columns: int = 6
    """Number of people in a row."""
    yaw_turn: float = 0.2
    """Yaw of the views, radians: of three people, one is turned by this angle to one side, one is frontal, and one is
    turned by this angle to the other side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within(self, 1, MOST_PANELS, "count")
        require_at_least(self, 1, "columns")
        self.require_panels("count", self.count)


@dataclass(frozen=True)
class ExpressionsConfig(FigureConfig):
    """Draw many expressions on one person."""

    drawn: int = 11
    """Number of expressions that are sampled from the model's expression prior, shown after the neutral and the named
    expressions."""
    first_drawn: int = 101
    """Random seed of the first sampled expression; the next ones have this seed plus 1, 2, ..."""
    columns: int = 6
    """Number of expressions in a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "columns")
        require_at_least(self, 0, "drawn", "first_drawn")
        self.require_panels("drawn", self.drawn)


@dataclass(frozen=True)
class InterpolationConfig(FigureConfig):
    """Draw interpolations from person to person, and from expression to expression."""

    steps: int = 7
    """Number of images in a row, both ends included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within(self, 2, MOST_PANELS, "steps")
        self.require_two_people()


@dataclass(frozen=True)
class DisentanglementConfig(FigureConfig):
    """Draw a strip for each latent and camera angle, which changes from left to right."""

    steps: int = 7
    """Number of images in a strip, both ends included."""
    reach: float = 0.5
    """Largest yaw to either side, radians; the largest pitch is half of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within(self, 2, MOST_PANELS, "steps")
        require_above(self, 0, "reach")
        self.require_two_people()


@dataclass(frozen=True)
class TruncationConfig(FigureConfig):
    """Draw people at several values of the truncation psi. The option --psi is not used; --psis replaces it."""

    psis: float | tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2)
    """Values of psi, one for each column: 1 shows the full variety of people, 0 the average appearance for everyone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_psi("psis", self.psis)


@dataclass(frozen=True)
class DeformationConfig(FigureConfig):
    """Draw the template (the face without deformation), the deformed face, and the deformation between them: its
    length, and its offsets as arrows in two planes through the head (slices).
    """

    x: float = 0.0
    """Position x of a vertical plane through the head (a sagittal slice), world units of which 1 counts as 1 m; 0 is
    the middle of the face."""
    y: float = -0.045
    """Position y of a horizontal plane through the head, world units; -0.045 is the height of the mouth."""
    arrow_scale: float = 1.0
    """Length of an arrow relative to the offset that it shows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_above(self, 0, "arrow_scale")
        require_at_least(self, -1, "x", "y")


@dataclass(frozen=True)
class ManifoldsConfig(FigureConfig):
    """Draw the radiance manifolds as lines where they cut planes through the head (slices)."""

    x: float | tuple[float, ...] = (0.0, 0.03)
    """Position x of each vertical plane through the head (a sagittal slice), world units from the middle of the face,
    of which 1 counts as 1 m."""
    y: float | tuple[float, ...] = (0.027, -0.045)
    """Position y of each horizontal plane through the head, world units from the origin; the defaults are near the eyes
    and at the mouth."""

    def __post_init__(self) -> None:
        super().__post_init__()
        sections = [*as_tuple(self.x), *as_tuple(self.y)]
        if not sections or not all(-1 <= at <= 1 for at in sections):
            raise ValueError(
                f"x is {self.x} and y is {self.y}, expected one slice or more, each from -1 to 1"
            )


@dataclass(frozen=True)
class DepthNormalsConfig(FigureConfig):
    """Draw the colours, the depth and the normals of people from several views."""

    yaw: float | tuple[float, ...] = (-0.4, 0.0, 0.4)
    """Yaw of each view, radians from frontal."""


@dataclass(frozen=True)
class MeshConfig(FigureConfig):
    """Extract a mesh of the first person with the first expression."""

    yaw: float | tuple[float, ...] = (-0.6, -0.3, 0.0, 0.3, 0.6)
    """Yaws of the views that the mesh is made from, radians from frontal; each yaw is combined with each pitch."""
    pitch: float | tuple[float, ...] = (-0.25, 0.0, 0.25)
    """Pitches of the views that the mesh is made from, radians from frontal."""
    resolution: int = 128
    """Number of grid cells along each edge of the box around the head, from -0.12 to 0.12 world units, of which 1
    counts as 1 m."""
    show_yaw: float | tuple[float, ...] = (-0.6, -0.2, 0.2, 0.6)
    """Yaws from which the finished mesh is shown, radians from frontal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 8, "resolution")
        require_memory(self, 60 * self.resolution**3, "resolution")


@dataclass(frozen=True)
class DrivingConfig(FigureConfig):
    """Render a video of the first person driven by a sequence of expressions."""

    driving: Path | None = None
    """Sequence to follow: a folder of .mat files in numeric order, and optionally images of the same names; or a file
    with a row for each frame, a .mat or blendshapes of ARKit (.csv) or MediaPipe (.json). null: the expressions of the
    option expressions come and go one after another."""
    poses: bool = False
    """Take yaw and pitch from the .mat files as well."""
    pitch_offset: float | None = None
    """Pitch, in radians, that Deep3DFaceRecon reports for a frontal face. It is subtracted from the pitch in the .mat
    files. Ignored for .mat files that store the exact pose (ours do). null: the value in the
    model's card.yaml."""
    yaw: float | tuple[float, ...] = 0.0
    """Yaw of the head without --poses, radians from frontal: one value, or values to interpolate between."""
    frames: int | None = None
    """Number of frames. null: one for each .mat file, or 48 if --driving is null."""
    fps: int = 25
    """Frames per second of the video."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "fps")
        if self.frames is not None:
            require_at_least(self, 1, "frames")
        if self.poses and self.driving is None:
            raise ValueError("poses needs driving, a folder of .mat files")
        if self.driving is not None:
            require_unused(self, "with --driving", "expressions")
        if self.poses:
            require_unused(self, "with --poses: the .mat files have them", "yaw")
        else:
            require_unused(self, "without --poses", "pitch_offset")


@dataclass(frozen=True)
class AblationConfig:
    """Draw and print the table of an ablation: the metrics of trainings that differ in their losses."""

    results: Path = Path("runs/ablation/ablation.json")
    """JSON file with the results of `anifacegan ablate`."""
    out: OutputFolder = Path("runs/figures")
    """Folder to write into: ablation.png, ablation.md, ablation.yaml and ablation.json."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""


CONFIGS: dict[str, type] = {
    "expression_views": ExpressionViewsConfig,
    "identities": IdentitiesConfig,
    "expressions": ExpressionsConfig,
    "interpolation": InterpolationConfig,
    "disentanglement": DisentanglementConfig,
    "truncation": TruncationConfig,
    "deformation": DeformationConfig,
    "manifolds": ManifoldsConfig,
    "depth_normals": DepthNormalsConfig,
    "mesh": MeshConfig,
    "driving": DrivingConfig,
    "ablation": AblationConfig,
}
"""Options of each figure, by its name."""


@dataclass(frozen=True)
class PageConfig:
    """Only write index.html, which shows the figures already in a folder."""

    out: OutputFolder = Path("runs/figures")
    """Folder with the figures; index.html is written there."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
