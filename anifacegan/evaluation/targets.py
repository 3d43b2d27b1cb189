"""Target values: camera angles and landmarks that follow from the latents and poses of generated images.

These target values are compared with the values that the judge, the face regressor for evaluation, measures in the
images.
"""

from jaxtyping import Float
from torch import Tensor

from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.geometry.cameras import euler_from_rotation, orbit_camera, orbit_rotation
from anifacegan.geometry.conventions import FOV_DEG, WORLD_PER_MODEL_UNIT
from anifacegan.models.latent_sampling import PosedLatents

MM_PER_WORLD = 1000.0
"""Millimetres per world unit; a head is about 0.2 world units tall."""
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
"""Indices of the iBUG landmarks of each eye; right and left are those of the person."""


def target_angle(pose: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
    """Convert the camera pose of generated images, (pitch, yaw), to Deep3DFaceRecon's head angles (pitch, yaw, roll),
    all in radians.
    """
    pitch, yaw = pose.unbind(-1)
    return euler_from_rotation(orbit_rotation(yaw=yaw, pitch=pitch)[1])


def target_landmarks_px(
    landmarks: FaceLandmarks,
    world_offset: Float[Tensor, "3"],
    views: PosedLatents,
    size: int,
    fov_deg: float = FOV_DEG,
) -> Float[Tensor, "batch 68 2"]:
    """Compute the pixel coordinates of the face model's 68 landmarks in the generator's images.

    x runs right and y down; integers are pixel centres.

    Args:
        landmarks: landmark positions as functions of the face coefficients.
        world_offset: position of the face model's origin, world units.
        views: latents and camera poses of the images.
        size: height and width of the images, pixels.
        fov_deg: field of view of the images, degrees.
    """
    shape = WORLD_PER_MODEL_UNIT * landmarks.unposed(views.latents.z_id, views.latents.z_exp) + world_offset
    pitch, yaw = views.pose.unbind(-1)
    return orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg).project(shape)


def interocular(landmarks: Float[Tensor, "batch 68 3"]) -> Float[Tensor, "batch"]:
    """Compute the distance between the centres of the two eyes (means of their landmarks), in the landmarks' unit."""
    return (landmarks[:, RIGHT_EYE].mean(dim=1) - landmarks[:, LEFT_EYE].mean(dim=1)).norm(dim=-1)
