"""Points of the open face model's surface as functions of identity and action units, with derivatives."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import is_strong_unit
from anifacegan.face_model.lids import place_lids, subset_with_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import BLINK_UNITS
from anifacegan.geometry.cameras import RECONSTRUCTION_DISTANCE, focal_length_px, orbit_rotation
from anifacegan.geometry.conventions import EXP_DIM, FOV_DEG, ID_DIM

UNIT_FOCAL = focal_length_px(2, FOV_DEG)
"""Focal length of the generator's camera in sides of the image."""
SIDES_PER_MODEL_UNIT = UNIT_FOCAL / RECONSTRUCTION_DISTANCE
"""Sides of the image that a length of one model unit at the head's origin covers."""
BLINK_STEP = 0.05
"""Step in the strength of a blink by which its derivative is estimated; lids do not move linearly."""
LEFT_OUT = "tongueOut"
"""ARKit's unit that no landmark shows."""


@dataclass(frozen=True)
class FittedUnits:
    """The action units (named elementary movements) that are fitted: ARKit's without the tongue."""

    names: tuple[str, ...]
    """Names of the units."""
    to_exp: Float[np.ndarray, "64 unit"]
    """Expression coefficients of each unit at strength 1."""

    @classmethod
    def of(cls, basis: ExpressionBasis) -> "FittedUnits":
        """Select the fitted units of a face model's expression basis."""
        selected = fitted_columns(basis.names)
        names = tuple(basis.names[k] for k in selected)
        return cls(names, basis.units_to_exp[:, selected].astype(np.float64))


def fitted_columns(names: tuple[str, ...]) -> list[int]:
    """Return the indices of the fitted units among the names of all action units."""
    return [k for k, name in enumerate(names) if not is_strong_unit(name) and name != LEFT_OUT]


class FacePoints:
    """Selected vertices of the open face model, without the rest of the mesh.

    Args:
        model: the open face model.
        units: the action units.
        vertices: vertex indices of the points; they may repeat.
    """

    def __init__(
        self, model: MorphableModel, units: FittedUnits, vertices: Int[np.ndarray, " point"]
    ) -> None:
        self.count, self.units = len(vertices), units
        subset, self._eyes = subset_with_lids(vertices, model.eyes)
        places = torch.from_numpy(subset)
        self._mean, self._id_basis, self._exp_basis = (
            getattr(model, name)[places].double() for name in ("mean", "id_basis", "exp_basis")
        )
        linear = [self._id_basis[: self.count].numpy(), self._exp_basis[: self.count].numpy() @ units.to_exp]
        self._linear = np.concatenate(linear, axis=-1)  # (point, 3, 80 + unit)
        self._blinks = [units.names.index(name) for name in BLINK_UNITS if name in units.names]

    def unposed(
        self, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
    ) -> Float[np.ndarray, "point 3"]:
        """Compute the points of a face before posing, model units."""
        identity, expression = torch.from_numpy(z_id).double(), torch.from_numpy(z_exp).double()
        offset = identity @ self._id_basis.reshape(-1, ID_DIM).T
        offset = offset + expression @ self._exp_basis.reshape(-1, EXP_DIM).T
        shape = self._mean + offset.reshape(-1, 3)
        return place_lids(shape[None], expression[None], self._eyes)[0, : self.count].numpy()

    def derivatives(
        self, z_id: Float[np.ndarray, "80"], strengths: Float[np.ndarray, " unit"]
    ) -> tuple[Float[np.ndarray, "point 3"], Float[np.ndarray, "point 3 columns"]]:
        """Compute the points, and their derivatives by the 80 identity coefficients and by the units' strengths."""
        points = self.unposed(z_id, self.units.to_exp @ strengths)
        basis = self._linear.copy()
        for blink in self._blinks:
            step = BLINK_STEP if strengths[blink] < 0.5 else -BLINK_STEP
            moved = strengths.copy()
            moved[blink] += step
            basis[..., ID_DIM + blink] = (self.unposed(z_id, self.units.to_exp @ moved) - points) / step
        return points, basis


class PersonPoints:
    """The points of one person's face in many expressions at once.

    Args:
        points: the points of everyone's face.
        z_id: the person's identity coefficients.
    """

    def __init__(self, points: FacePoints, z_id: Float[np.ndarray, "80"]) -> None:
        self.count, self.units = points.count, points.units
        self._blinks, self._eyes = points._blinks, points._eyes
        identity = torch.from_numpy(z_id).double() @ points._id_basis.reshape(-1, ID_DIM).T
        self._neutral = (points._mean + identity.reshape(-1, 3)).numpy()
        basis = points._exp_basis.numpy() @ points.units.to_exp
        self._flat_basis = basis.reshape(-1, basis.shape[-1])  # of the points that the lids need, too
        self.basis = basis[: self.count]
        """(point, 3, unit) displacement of the points by each unit at strength 1, without the lids' own part."""

    def unposed(self, strengths: Float[np.ndarray, "frame unit"]) -> Float[np.ndarray, "frame point 3"]:
        """Compute the points before posing, model units."""
        shape = self._neutral + (strengths @ self._flat_basis.T).reshape(len(strengths), -1, 3)
        z_exp = torch.from_numpy(strengths @ self.units.to_exp.T)
        return place_lids(torch.from_numpy(shape), z_exp, self._eyes)[:, : self.count].numpy()

    def with_blinks(
        self, strengths: Float[np.ndarray, "frame unit"]
    ) -> tuple[Float[np.ndarray, "frame point 3"], dict[int, Float[np.ndarray, "frame point 3"]]]:
        """Compute the points, and their derivatives by the units of the blinks, which are not those of the basis."""
        steps = {k: np.where(strengths[:, k] < 0.5, BLINK_STEP, -BLINK_STEP) for k in self._blinks}
        variants = [strengths]
        for blink, step in steps.items():
            moved = strengths.copy()
            moved[:, blink] += step
            variants.append(moved)
        points, *changed = np.split(self.unposed(np.concatenate(variants)), len(variants))
        pairs = zip(steps.items(), changed, strict=True)
        return points, {blink: (other - points) / step[:, None, None] for (blink, step), other in pairs}


def camera_axes(pitch: float, yaw: float) -> Float[np.ndarray, "3 3"]:
    """Return the axes of the generator's camera as columns: right, up and backward."""
    return cameras_axes(np.array([[pitch, yaw]], np.float64))[0]


def cameras_axes(pose: Float[np.ndarray, "frame 2"]) -> Float[np.ndarray, "frame 3 3"]:
    """Return the axes of :func:`camera_axes` for each (pitch, yaw)."""
    pitch, yaw = torch.from_numpy(pose.T.copy())
    return orbit_rotation(yaw=yaw, pitch=pitch)[1].numpy()


def project(points: Float[np.ndarray, "point 3"], pitch: float, yaw: float) -> Float[np.ndarray, "point 2"]:
    """Project points of an unposed face, model units, to unit coordinates of the generator's image."""
    return project_turned(points @ camera_axes(pitch, yaw))


def project_turned(turned: Float[np.ndarray, "*frame point 3"]) -> Float[np.ndarray, "*frame point 2"]:
    """Project points given along the camera's axes, with the head's origin as their origin, to unit coordinates."""
    depth = RECONSTRUCTION_DISTANCE - turned[..., 2:]
    return UNIT_FOCAL * turned[..., :2] * np.array([1.0, -1.0]) / depth


def projected_derivatives(
    points: Float[np.ndarray, "point 3"], basis: Float[np.ndarray, "point 3 columns"], axes: np.ndarray
) -> Float[np.ndarray, "point 2 columns"]:
    """Convert derivatives of points to derivatives of their projections; ``axes`` are the camera's."""
    turned, moved = points @ axes, np.einsum("pck,cd->pdk", basis, axes)
    depth = (RECONSTRUCTION_DISTANCE - turned[:, 2])[:, None, None]
    flat = moved[:, :2] / depth + turned[:, :2, None] * moved[:, 2:] / depth**2
    return UNIT_FOCAL * flat * np.array([1.0, -1.0])[:, None]
