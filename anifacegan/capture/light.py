"""Light and texture of a fitted face from the photograph's colours: spherical harmonics times albedo.

Alternating least squares: the colours are linear in the light for a given texture, and in the texture for a given
light. Pixels whose colour the model cannot explain (hair, glasses, shadows) lose their weight.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.regressed_face import RegressedFace
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.conventions import LIGHT_DIM, TEX_DIM
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from anifacegan.geometry.spherical_harmonics import AMBIENT, spherical_harmonics

ROUNDS = 4
LIGHT_DEVIATION, TEXTURE_DEVIATION, COLOUR_DEVIATION = 0.3, 1.0, 0.05
"""Standard deviations of light and texture coefficients from their prior, and of colours in [0, 1] from the model."""
INDEPENDENT_SHARE = 0.02
"""Share of the pixels whose errors count as independent, as neighbours err alike."""
LEAST_FACE, LEAST_FACING = 0.5, 0.3
"""Smallest weight of a pixel as part of the face, and smallest cosine of its normal with the viewing axis."""
LEAST_PIXELS = 200
"""Number of pixels of skin below which light and texture are not fitted."""


@dataclass(frozen=True)
class Colours:
    """Fitted colours of a face."""

    tex: Float[np.ndarray, "80"]
    """Texture coefficients."""
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light, nine numbers each for red, green and blue."""
    error: float
    """Median absolute difference of the fitted from the photograph's colours on the skin, in [0, 1]; nan if too little
    skin is visible."""


def fit_colours(
    model: MorphableModel,
    parts: HeadParts,
    fit: LandmarkFit,
    image: UInt8[np.ndarray, "size size 3"],
    start: RegressedFace | None = None,
) -> Colours:
    """Fit light and texture to the crop ``image`` of a fitted face.

    ``start`` is an estimate that serves as the mean of the prior; None stands for the mean face in even light.
    """
    tex0 = np.zeros(TEX_DIM) if start is None else start.tex
    gamma0 = (np.zeros(LIGHT_DIM) if start is None else start.gamma).reshape(3, 9)
    tex, gamma = tex0.copy(), gamma0.copy()
    colour, mean, basis, harmonics = _skin_pixels(model, parts, fit, image)
    if len(colour) < LEAST_PIXELS:
        return Colours(tex, gamma.reshape(LIGHT_DIM), float("nan"))
    ambient = np.eye(9)[0] * AMBIENT
    noise = COLOUR_DEVIATION**2 / INDEPENDENT_SHARE
    weights = np.ones(len(colour))
    for _ in range(ROUNDS):
        albedo = mean + basis @ tex
        for c in range(3):
            lit = albedo[:, c, None] * harmonics
            error = colour[:, c] - lit @ (ambient + gamma0[c])
            gamma[c] = gamma0[c] + _ridge(lit, error, weights / noise, LIGHT_DEVIATION)
        shading = harmonics @ (ambient + gamma).T  # (pixel, 3)
        columns = (shading[..., None] * basis).reshape(-1, TEX_DIM)
        error = (colour - shading * (mean + basis @ tex0)).ravel()
        tex = tex0 + _ridge(columns, error, np.repeat(weights, 3) / noise, TEXTURE_DEVIATION)
        apart = np.abs(colour - shading * (mean + basis @ tex)).max(axis=1)
        weights = 1 / (1 + np.square(apart / (2 * COLOUR_DEVIATION)))
    return Colours(tex, gamma.reshape(LIGHT_DIM), float(np.median(apart)))


def _ridge(columns: np.ndarray, target: np.ndarray, weights: np.ndarray, deviation: float) -> np.ndarray:
    """Solve weighted least squares with a normal prior of mean 0 and the given standard deviation."""
    weighted = columns * weights[:, None]
    normal = weighted.T @ columns + np.eye(columns.shape[1]) / deviation**2
    return np.linalg.solve(normal, weighted.T @ target)


def _skin_pixels(
    model: MorphableModel, parts: HeadParts, fit: LandmarkFit, image: UInt8[np.ndarray, "size size 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each visible pixel of the face's skin, its colour, mean albedo, texture basis and harmonics."""
    z_id, z_exp = (torch.from_numpy(z).float()[None] for z in (fit.z_id, fit.z_exp))
    vertices = model.shape(z_id, z_exp)
    normals = model.normals(vertices)
    camera = orbit_camera(
        yaw=torch.tensor([fit.yaw]).float(), pitch=torch.tensor([fit.pitch]).float(), size=len(image)
    )
    fragments = rasterize(model.to_world(vertices), model.triangles, camera)
    skin = torch.from_numpy(parts.face_mask * (parts.part == 0) * (1 - parts.lips_mask)).float()
    facing = normals @ camera.rotation[0, :, 2]
    attributes = torch.cat([skin[None, :, None], facing[..., None], normals, model.tex_mean[None]], dim=-1)
    drawn = interpolate(attributes, model.triangles, fragments)[0]
    selected = (drawn[..., 0] > LEAST_FACE) & (drawn[..., 1] > LEAST_FACING)
    row, column = selected.nonzero(as_tuple=True)
    corners = model.triangles[fragments.triangle[0, row, column]]
    basis = torch.einsum("pk,pkct->pct", fragments.barycentric[0, row, column], model.tex_basis[corners])
    normal = torch.nn.functional.normalize(drawn[row, column, 2:5], dim=-1)
    colour = torch.from_numpy(image)[row, column].double() / 255
    return (
        colour.numpy(),
        drawn[row, column, 5:8].double().numpy(),
        basis.double().numpy(),
        spherical_harmonics(normal).double().numpy(),
    )
