"""The strands of a person, grown from appearance latents as the synthetic renderer grows them, on the exported head.

A model that was trained on images of the synthetic renderer has people of the same latents, so the latents say which
hair a person is meant to have. Points are in target space, world units.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.strands.head_hair import grow_scalp_hair
from anifacegan.data.synthetic.strands.lashes import grow_lashes
from anifacegan.data.synthetic.strands.plan import skin_under_hair
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import vertex_normals_numpy

FARTHEST_BACK = -100.0
"""Where the plane that hides hair behind the head is put, model units: nothing hides it in other programs."""
SOLID = 0.4
"""Opacity from which a strand becomes a ribbon."""


@dataclass(frozen=True)
class HairStrands:
    """Strands of the head's hair; any first ones are spread over the whole head."""

    points: tuple[Float[np.ndarray, "step 3"], ...]
    """Points of each strand from the root to the tip."""
    brightness: Float[np.ndarray, " strand"]
    """Brightness of each strand, relative to the person's mean."""


@dataclass(frozen=True)
class PersonStrands:
    """Grows the strands of one person."""

    renderer: SyntheticRenderer
    appearance: Appearance

    def hair(
        self, vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"], most: int
    ) -> HairStrands:
        """Grow the longer strands of the head, ``most`` at most, without the short hair between them."""
        scalp = replace(self.renderer.strand_plan.scalp, plane_z=FARTHEST_BACK)
        own = self._in_model_units(vertices)
        normals = vertex_normals_numpy(own, triangles).astype(np.float32)
        grown = grow_scalp_hair(scalp, self.appearance.hair, own, normals)
        kinds = [(kind, np.flatnonzero(kind.cover > SOLID)) for kind in grown if kind.on_scalp]
        total = max(sum(len(solid) for _, solid in kinds), 1)
        points, brightness, order = [], [], []
        for kind, solid in kinds:
            chosen = solid[: round(most * len(solid) / total)]
            points += list(self._in_world(kind.points[chosen]))
            brightness.append(kind.rgb[chosen].mean(axis=1) / max(float(kind.rgb.mean()), 1e-6))
            order.append((np.arange(len(chosen)) + 0.5) / max(len(chosen), 1))
        if not points:
            return HairStrands((), np.zeros(0))
        mixed = np.argsort(np.concatenate(order), kind="stable")
        return HairStrands(
            tuple(points[k] for k in mixed), np.concatenate(brightness)[mixed].astype(np.float64)
        )

    def lashes(
        self, vertices: Float[np.ndarray, "vertex 3"]
    ) -> tuple[Float[np.ndarray, "lash step 3"], Float[np.ndarray, " lash"]]:
        """Grow the lashes of a face, points and opacities; a person has equally many in every expression."""
        plan = self.renderer.strand_plan
        grown = grow_lashes(plan.lashes, self.appearance.lashes, self._in_model_units(vertices))
        if grown is None:
            return np.zeros((0, 2, 3)), np.zeros(0)
        solid = grown.cover > SOLID
        return self._in_world(grown.points[solid]), grown.cover[solid].astype(np.float64)

    def haired(self) -> Float[np.ndarray, " vertex"]:
        """Return how much hair each vertex of the scalp has, 0 to 1."""
        return skin_under_hair(self.renderer.strand_plan, self.appearance).scalp.astype(np.float64)

    def _in_model_units(self, points: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
        return ((points - self.renderer.head.world_offset) / WORLD_PER_MODEL_UNIT).astype(np.float32)

    def _in_world(self, points: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place 3"]:
        return points.astype(np.float64) * WORLD_PER_MODEL_UNIT + self.renderer.head.world_offset


def person_strands(
    renderer: SyntheticRenderer, z_id: Float[np.ndarray, "80"], z_noise: Float[np.ndarray, "80"]
) -> PersonStrands:
    """Take the hair and lashes that identity and appearance latents stand for."""
    appearance = renderer.prior.appearance(z_id.astype(np.float32), z_noise.astype(np.float32))
    return PersonStrands(renderer, appearance)
