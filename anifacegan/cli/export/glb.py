"""``anifacegan export glb``: write a person as a head for Blender, game engines and three.js."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anifacegan.avatars.config import SUFFIX, BakeConfig
from anifacegan.avatars.export.config import SEQUENCE_FPS, GlbConfig, require_frame_rate
from anifacegan.face_model.config import require_psi
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, InputError, printable, require_within
from anifacegan.runtime.limits import LARGEST_SEED
from anifacegan.runtime.output_places import OutputFile
from anifacegan.runtime.typed_config import read_config

if TYPE_CHECKING:
    from anifacegan.avatars.avatar import Avatar
    from anifacegan.avatars.export.glb_parts import GlbScene
    from anifacegan.avatars.export.grown_strands import PersonStrands


@dataclass(frozen=True)
class GlbCommand:
    """Write a person as a head in one .glb file (glTF 2.0): a closed textured mesh with ARKit's 52 movements and the
    named expressions as morph targets, and head, eyes, teeth and tongue as nodes that turn about their pivots. The
    person is one of a model, by --seed or --latents, or that of an avatar file, as 'anifacegan bake' and 'anifacegan
    animate' write it. Lashes, and hair that hangs clear of the head where --glb.hair_ribbons asks for it, are meshes of
    their own for people of models that were trained on synthetic people.
    """

    out: OutputFile
    """File to write; its name ends in .glb."""
    avatar: Path | None = None
    """Avatar file of the person. null: the person of --seed or --latents."""
    model: Path | None = None
    """Model folder, or the name of a shipped model, of the person of --seed or --latents. null: checkpoints/demo."""
    seed: int | None = None
    """Random seed of the person's latents."""
    latents: Path | None = None
    """An .npz file with z_id and z_noise of one person."""
    psi: float | None = None
    """Truncation psi of the appearance of the person of --seed or --latents. null: 0.7."""
    expressions: tuple[str, ...] | None = None
    """Expressions that become morph targets beside ARKit's: names, .mat files. null: the named expressions of the
    model."""
    sequence: Path | None = None
    """File of expressions, one a frame, that becomes an animation: .mat, whose poses turn the head, or blendshapes of
    ARKit or MediaPipe as .csv or .json. null: no animation."""
    fps: float | None = None
    """Frames a second of the sequence. null: 30."""
    albedo: bool = False
    """Remove the light's shading from the texture, as far as it can be told, and write a material that is lit, with
    normals. Otherwise the material is unlit and the texture has the light in which the person was made."""
    mark_synthetic: bool = True
    """Say in the file that the person is synthetic."""
    overwrite: bool = False
    """Replace the file if it is no head of this program, or one that somebody has edited. Other heads of this program
    are always replaced; those of earlier versions have no checksum, so edits of them are not seen."""
    face_model: Path | None = None
    """File of the open face model. null: that in the cache, as 'anifacegan face-model' makes it."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    """Size of the textures and meshes of the avatar that is baked for the person of --seed or --latents."""
    glb: GlbConfig = field(default_factory=GlbConfig)
    """Size and quality of the texture, precision of the morph targets, numbers of ribbons of hair and lashes."""
    device: Device = "auto"
    """Device that bakes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".glb":
            raise ConfigError("out", self.out, "NAME.glb")
        require_frame_rate(self)
        require_psi("psi", self.psi)
        if self.seed is not None:
            require_within(self, 0, LARGEST_SEED, "seed")
        given = [name for name in ("avatar", "seed", "latents") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                f"got {' and '.join(given) or 'nobody'}, expected one of --avatar, --seed and --latents"
            )
        of_bake = {"model": None, "psi": None, "bake": BakeConfig()}
        for name, default in of_bake.items():
            if self.avatar is not None and getattr(self, name) != default:
                raise InputError(
                    f"got avatar and {name}, but an avatar is baked already; expected {name} with --seed or --latents"
                )


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan export glb`` with the command-line words ``arguments``; prints what was written.

    Raises:
        InputError: a wrong option, or a file that cannot be used.
    """
    config = read_config(GlbCommand, arguments, "anifacegan export glb")
    from anifacegan.runtime.locks import FileLock

    with FileLock(config.out):
        _write(config)


def _write(config: GlbCommand) -> None:
    """Make the head, write its file, and print what was written."""
    from anifacegan.avatars.export.glb_file import glb_bytes, require_room_for_glb
    from anifacegan.avatars.export.glb_head import glb_scene, require_exportable, sequence_animation
    from anifacegan.avatars.export.morph_targets import arkit_units, morph_targets
    from anifacegan.avatars.export.painted_head import painted_head
    from anifacegan.avatars.export.person_shape import person_shape
    from anifacegan.avatars.export.unit_weights import read_unit_sequence
    from anifacegan.face_model.expressions import names_of
    from anifacegan.runtime.errors import warnings_in_one_line
    from anifacegan.runtime.files import remove_abandoned, write_complete

    require_room_for_glb(config.out, config.overwrite)
    avatar = _avatar(config)
    shape = person_shape(require_exportable(avatar), config.face_model)
    labels = tuple(avatar.card.presets) if config.expressions is None else config.expressions
    names = names_of(labels)
    animation, missed = None, 0.0
    with warnings_in_one_line():
        expressions = {
            name: avatar.expressions.coefficients(label) for name, label in zip(names, labels, strict=True)
        }
        if config.sequence is not None:
            sequence = read_unit_sequence(config.sequence, avatar.expressions, shape, arkit_units(shape))
            animation = sequence_animation(config.sequence.stem, sequence, config.fps or SEQUENCE_FPS)
            missed = sequence.missed
    targets = morph_targets(shape, expressions, config.glb.least_move)
    head = painted_head(avatar, shape, config.glb, expressions, config.albedo)
    scene = glb_scene(
        avatar,
        head,
        targets,
        config.glb,
        strands=_strands(config, avatar),
        unlit=not config.albedo,
        animation=animation,
        mark_synthetic=config.mark_synthetic,
    )
    content = glb_bytes(scene)
    remove_abandoned(config.out)
    write_complete(config.out, content)
    print(
        printable(
            f"{config.out}: {len(content) / 1e6:.2f} MB, {len(targets)} morph targets, "
            + f"{head.seen:.0%} of the texture seen, {_added(config, avatar, scene)}"
            + (f", {missed:.0%} of the sequence's movement at most not made by ARKit's" if missed else "")
        )
    )


def _strands(config: GlbCommand, avatar: "Avatar") -> "PersonStrands | None":
    """Return the hair and lashes that the avatar's appearance latents stand for; None where it has no such latents."""
    if not avatar.card.appearance or not (config.glb.hair_ribbons or config.glb.lash_ribbons):
        return None
    import numpy as np

    from anifacegan.avatars.export.grown_strands import person_strands
    from anifacegan.data.synthetic.renderer import load_synthetic_renderer

    renderer = load_synthetic_renderer(config.face_model)
    return person_strands(renderer, np.array(avatar.card.identity), np.array(avatar.card.appearance))


def _added(config: GlbCommand, avatar: "Avatar", scene: "GlbScene") -> str:
    """Say which meshes of hair and lashes the head has, and why it has none."""
    if not (config.glb.hair_ribbons or config.glb.lash_ribbons):
        return "no meshes of hair and lashes, as asked"
    if not avatar.card.appearance:
        return "no meshes of hair and lashes: the avatar does not say which it has"
    found = {node.name for node in scene.nodes[0].children[0].children}
    asked = {"lashes": ("lashes", config.glb.lash_ribbons), "hair": ("hanging hair", config.glb.hair_ribbons)}
    names = {node: name for node, (name, count) in asked.items() if count}
    has = [name for node, name in names.items() if node in found]
    return (
        f"with {' and '.join(has)}" if has else f"without {' and '.join(names.values())}: the person has none"
    )


def _avatar(config: GlbCommand) -> "Avatar":
    """Load the avatar, or bake the person of the model.

    Raises:
        InputError: a file is missing or damaged, or the model has no named expressions.
    """
    if config.avatar is not None:
        from anifacegan.avatars.avatar import load_avatar

        return load_avatar(config.avatar)
    from anifacegan.cli.bake.config import BakeCommand
    from anifacegan.cli.bake.run import baked_avatar
    from anifacegan.rendering.model import load_model

    baking = BakeCommand(
        out=config.out.with_suffix(SUFFIX),
        model=BakeCommand.model if config.model is None else config.model,
        seed=BakeCommand.seed if config.seed is None else config.seed,
        latents=config.latents,
        psi=BakeCommand.psi if config.psi is None else config.psi,
        bake=config.bake,
        device=config.device,
    )
    model = load_model(baking.model, config.device)
    if config.sequence is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come when it is used
            model.expressions.sequence(config.sequence)  # refused before a minute of baking
    return baked_avatar(baking, model)
