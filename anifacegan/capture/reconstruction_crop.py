"""Deep3DFaceRecon's crop of a photograph (Deng et al. 2019): the part that its network was trained to see.

Five points of the face (eyes, tip of the nose, corners of the mouth) are compared with those of the Basel face model's
mean face: x and y in the photograph are each fitted, by least squares, as an affine function of the mean face's x, y
and z (a scaled orthographic projection). The crop's middle is where the mean face's origin falls, and one model unit,
by the mean length of the two functions' gradients, becomes 102 px of 224. The crop is not turned: the tilt of the head
is left to the network.

The middle is the centre of the image, between its four middle pixels. Deep3DFaceRecon rounds the corner of the crop to
whole pixels, so its crops are up to a pixel from these.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from anifacegan.capture.crop import Crop, Photograph
from anifacegan.face_model.morphable import alignment_weights
from anifacegan.geometry.cameras import RECONSTRUCTION_SIZE_PX

PIXELS_PER_MODEL_UNIT = 102.0
"""Length of a model unit of the standard face in the crop, pixels of 224."""
STANDARD_POINTS = np.array(
    [
        [-0.3115, 0.2904, 0.1338],
        [0.3098, 0.2897, 0.1318],
        [0.0033, -0.0462, 0.5524],
        [-0.2522, -0.3813, 0.2241],
        [0.2485, -0.3813, 0.2224],
    ]
)
"""The five points of the standard face, model units: eyes at the image's left and right, tip of the nose, corners of
the mouth at the left and right. They are constants of the published method, rounded to 0.01 px."""
JAW = (127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 197, 5, 1, 98, 97, 2, 326, 327)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)
LANDMARKS_68 = np.array(JAW + BROWS + NOSE + EYES + OUTER_LIPS + INNER_LIPS)
"""Which of MediaPipe's 478 landmarks comes nearest to each of the 68, in iBUG order."""


def landmarks_68(landmarks: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "68 2"]:
    """Select the 68 landmarks among MediaPipe's 478."""
    return landmarks[LANDMARKS_68]


def reconstruction_crop(lm68: Float[np.ndarray, "68 2"]) -> Crop:
    """Return Deep3DFaceRecon's crop of a photograph for its 68 landmarks, pixels of the photograph (y down)."""
    five = alignment_weights().double().numpy() @ lm68
    columns = np.concatenate([STANDARD_POINTS, np.ones((len(five), 1))], axis=1)
    affine = np.linalg.lstsq(columns, five, rcond=None)[
        0
    ]  # (4, 2): by x, y and z, and where the origin falls
    pixels_per_unit = float(np.linalg.norm(affine[:3], axis=0).mean())
    x, y = affine[3].tolist()
    return Crop(x, y, (RECONSTRUCTION_SIZE_PX - 1) * pixels_per_unit / PIXELS_PER_MODEL_UNIT)


def tilt(lm68: Float[np.ndarray, "68 2"]) -> float:
    """Return the angle of the line through the eyes, radians, positive if it falls to the image's right."""
    left, right = alignment_weights().double().numpy()[:2] @ lm68
    return float(np.arctan2(*(right - left)[::-1]))


def cut_upright(photograph: Photograph, crop: Crop, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resample a crop that is not turned to ``size`` x ``size`` pixels as Deep3DFaceRecon does: bicubic, with averages
    where it shrinks, black beyond the photograph."""
    pitch = crop.side / (size - 1)
    corner = np.array([crop.x, crop.y]) - (crop.side + pitch) / 2 + 0.5  # from the photograph's own corner
    margin = math.ceil(2 * max(1.0, pitch)) + 1  # what the filter reaches beyond the crop
    low = np.floor(corner).astype(int) - margin
    high = np.ceil(corner + crop.side + pitch).astype(int) + margin
    part = Image.fromarray(photograph).crop((*low.tolist(), *high.tolist()))
    left, upper = (corner - low).tolist()
    box = (left, upper, left + crop.side + pitch, upper + crop.side + pitch)
    return np.array(part.resize((size, size), Image.Resampling.BICUBIC, box=box))
