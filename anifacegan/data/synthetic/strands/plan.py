"""All strands of a person: roots and random numbers that are the same for everyone, and the growth for one image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.strands.facial_hair import (
    BeardRoots,
    BrowRoots,
    above_brow,
    beard_share,
    brow_share,
    grow_beard,
    grow_brows,
    prepare_beard,
    prepare_brows,
)
from anifacegan.data.synthetic.strands.head_hair import ScalpHair, grow_scalp_hair, prepare_scalp_hair
from anifacegan.data.synthetic.strands.lashes import LashRow, grow_lashes, prepare_lashes
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.strands.styles import blended_style
from anifacegan.data.synthetic.surface.head import HeadGeometry


@dataclass(frozen=True)
class SkinPlaces:
    """Position of each vertex of the mean head in the regions where short hair hides or shades the skin."""

    side: Float[np.ndarray, " vertex"]
    """Distance of each vertex from the middle of the face, model units."""
    above_brow: Float[np.ndarray, " vertex"]
    """Height of each vertex above the middle of the mean brow, model units; negative below it."""
    front: Bool[np.ndarray, " vertex"]
    """Whether each vertex is skin of the front of the head, where brows grow."""
    beard: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to a full beard, 0 to 1."""
    moustache: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the upper lip, 0 to 1."""
    chin: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the chin, 0 to 1."""


@dataclass(frozen=True)
class StrandPlan:
    """Where all strands can grow and with which random numbers: what is the same for everyone."""

    scalp: ScalpHair
    """Layout of the hair of the head."""
    brows: BrowRoots
    """Roots of the brows."""
    lashes: list[LashRow]
    """Lashes of each of the four lids."""
    beard: BeardRoots
    """Roots of a full beard."""
    skin: SkinPlaces
    """Where skin can lie under short hair."""


@dataclass(frozen=True)
class SkinUnderHair:
    """Share of the skin that is hidden by short hair or in its shade at each vertex, 0 to 1, for the skin's colour."""

    scalp: Float[np.ndarray, " vertex"]
    brows: Float[np.ndarray, " vertex"]
    beard: Float[np.ndarray, " vertex"]


def plan_strands(head: HeadGeometry) -> StrandPlan:
    """Lay out on the mean head where hair, brows, lashes and beard can grow, with a fixed seed; takes a second."""
    scalp = prepare_scalp_hair(head)
    return StrandPlan(
        scalp=scalp,
        brows=prepare_brows(head),
        lashes=prepare_lashes(head),
        beard=prepare_beard(head, scalp.chart),
        skin=_skin_places(head),
    )


def _skin_places(head: HeadGeometry) -> SkinPlaces:
    mean, parts = head.mean.reshape(-1, 3), head.parts
    moustache = parts.moustache_mask.astype(np.float32)
    return SkinPlaces(
        side=np.abs(mean[:, 0]),
        above_brow=above_brow(mean),
        front=(parts.part == 0) & (mean[:, 2] > -0.5),
        beard=parts.beard_mask.astype(np.float32),
        moustache=moustache,
        chin=np.clip(parts.goatee_mask.astype(np.float32) - moustache, 0, 1),
    )


def grow_strands(
    plan: StrandPlan,
    appearance: Appearance,
    neutral: Float[np.ndarray, "vertex 3"],
    neutral_normals: Float[np.ndarray, "vertex 3"],
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
) -> list[Strands]:
    """Grow all strands of a person.

    Args:
        plan: what is the same for everyone, see :func:`plan_strands`.
        appearance: the person's hair, brows, lashes and beard.
        neutral, neutral_normals: vertices and unit normals of the head with a neutral expression, on which the hair
            of the head grows; model units, in the head's frame.
        vertices, normals: the same with the expression of the image, on which brows, lashes and beard grow.

    Returns:
        Strands of each kind of which the person has any.
    """
    kinds = (
        *grow_scalp_hair(plan.scalp, appearance.hair, neutral, neutral_normals),
        grow_brows(plan.brows, appearance.brows, vertices, normals),
        grow_lashes(plan.lashes, appearance.lashes, vertices),
        grow_beard(plan.beard, appearance.beard, vertices, normals),
    )
    return [strands for strands in kinds if strands is not None and len(strands.points) > 0]


def skin_under_hair(plan: StrandPlan, appearance: Appearance) -> SkinUnderHair:
    """Compute the share of skin, 0 to 1, that a person's hair of the head, brows and beard hide or shade at each
    vertex.

    ``plan`` is what is the same for everyone, see :func:`plan_strands`; ``appearance`` has the person's hair, brows and
    beard.
    """
    style, skin = blended_style(appearance.hair), plan.skin
    brows, _, _ = brow_share(appearance.brows, skin.side, skin.above_brow)
    brows = np.where(skin.front, brows * min(appearance.brows.density, 1.0), 0)
    grown = 1 - (1 - style.density) * (1 - 0.7 * style.stubble)
    return SkinUnderHair(
        scalp=(plan.scalp.line.worn(style).share() * grown).astype(np.float32),
        brows=brows.astype(np.float32),
        beard=beard_share(appearance.beard, skin.beard, skin.moustache, skin.chin),
    )
