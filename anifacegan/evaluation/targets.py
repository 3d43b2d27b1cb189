"""Target values of generated images: camera angles in the judge's convention, and landmark positions."""

from jaxtyping import Float
from torch import Tensor

from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.geometry.cameras import FOV_DEG, euler_from_rotation, orbit_camera, orbit_rotation
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.sampling import PosedLatents

MM_PER_WORLD = 1000.0
"""Millimetres per world unit; a head is about 0.2 world units tall."""
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
"""iBUG landmarks of the eyes; right and left are the person's."""


def target_angle(pose: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
    """Convert the generator's (pitch, yaw) to Deep3DFaceRecon's (pitch, yaw, roll), all in radians."""
    pitch, yaw = pose.unbind(-1)
    return euler_from_rotation(orbit_rotation(yaw=yaw, pitch=pitch)[1])


def target_landmarks_px(
    landmarks: FaceLandmarks,
    world_offset: Float[Tensor, "3"],
    views: PosedLatents,
    size: int,
    fov_deg: float = FOV_DEG,
) -> Float[Tensor, "batch 68 2"]:
    """Project the face model's landmarks to pixel indices of the generator's images.

    Args:
        world_offset: position of the face model's origin, world units.
        size: height and width of the images, pixels.
    """
    shape = WORLD_PER_MODEL_UNIT * landmarks.unposed(views.latents.z_id, views.latents.z_exp) + world_offset
    pitch, yaw = views.pose.unbind(-1)
    return orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg).project(shape)


def interocular(landmarks: Float[Tensor, "batch 68 3"]) -> Float[Tensor, "batch"]:
    """Compute the distance between the centres of the two eyes' landmarks, in the landmarks' unit."""
    return (landmarks[:, RIGHT_EYE].mean(dim=1) - landmarks[:, LEFT_EYE].mean(dim=1)).norm(dim=-1)
