"""Numbers at the vertices and triangles of the head that rendering needs and that are the same for everyone.

Among them are kinds of triangles, neighbours of vertices, regions, a coarse mesh that casts shadows, and the texture
map of skin detail.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.data.synthetic.surface.head import EYE_LABELS, HeadGeometry
from anifacegan.data.synthetic.surface.scattering import Neighbours, neighbours
from anifacegan.data.synthetic.surface.skin_detail import SkinDetail, SkinRegions, TextureLayout, skin_detail
from anifacegan.data.synthetic.surface.value_noise import random_waves
from anifacegan.data.synthetic.surface.vertex_table import EYE, SKIN, TEETH, TONGUE
from anifacegan.face_model.open_model import HeadParts
from anifacegan.face_model.parts import LOWER_TEETH, UPPER_TEETH
from anifacegan.face_model.parts import TONGUE as TONGUE_LABEL
from anifacegan.geometry.resampling import smoothstep

TOOTH_ARCH_CENTRE = 0.45
"""Distance from the front teeth back to the centre of the dental arch, in model units."""
GUM_EDGES = {UPPER_TEETH: (0.60, 0.74), LOWER_TEETH: (0.56, 0.42)}
"""Heights, as shares of the height of a row of teeth from below, between which teeth turn into gums."""
FINE_CELL, COARSE_CELL, FAR_CELL = 0.036, 0.075, 0.16
"""Sizes of the cells, in model units, in each of which the mesh that casts shadows keeps one vertex: around eyes, nose
and mouth; on the rest of the head; below the chin."""
IN_IMAGES = ((-1.7, -1.8, -1.5), (1.7, 3.0, 3.0))
"""Box of the mean head, in model units, that images can show; behind it is the background plane."""
COLLAR_STEPS = 4
"""Number of steps by which the distance to the collar is averaged over neighbouring vertices."""
MOTTLE_SEED = 6


@dataclass(frozen=True)
class Occluders:
    """A coarse mesh that casts shadows: some of the face model's vertices, and triangles between them."""

    vertices: Int[np.ndarray, " selected"]
    """Indices of the selected vertices in the face model's mesh."""
    corners: Int[np.ndarray, "coarse 3"]
    """Corners of the triangles as indices into ``vertices``."""


@dataclass(frozen=True)
class HeadFields:
    """Numbers at the vertices and triangles of the face model that rendering needs and that are the same for
    everyone.
    """

    triangles: Int[np.ndarray, "drawn 3"]
    """Vertex indices of the triangles that images can show: not those behind the background plane in every image."""
    kind: Int[np.ndarray, " drawn"]
    """Kind (skin, eye, teeth or tongue) of each of ``triangles``, see :mod:`.vertex_table`."""
    seen: Bool[np.ndarray, " vertex"]
    """Whether each vertex lies in the part of the mean head that images can show."""
    skin: Bool[np.ndarray, " vertex"]
    """Whether each vertex is skin that images can show."""
    neighbours: Neighbours
    """Neighbours of each vertex on the mesh."""
    occluders: Occluders
    """Coarse mesh that casts shadows."""
    place: Float[np.ndarray, "vertex 3"]
    """Position of each vertex in random patterns: its position on the mean head for skin, its direction from the eye's
    centre (z toward the pupil) for eyes, its position with z from the centre of the dental arch for teeth."""
    mouth: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the inside of the mouth, 0 to 1; less toward the throat."""
    gum: Float[np.ndarray, " vertex"]
    """How much each vertex of the teeth is gum, 0 to 1; 0 elsewhere."""
    wet: Float[np.ndarray, " vertex"]
    """Wetness of the edges of the lids, 0 to 1; 0 elsewhere."""
    shine: Float[np.ndarray, " vertex"]
    """Strength of highlights on skin relative to that on cheeks; 1 on other parts."""
    collar: Float[np.ndarray, " vertex"]
    """Signed distance to the collar before a person's own shift, smoothed, positive in the clothes, model units; -1 on
    other parts than skin."""
    lips: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the lips, 0 to 1, soft at their edge."""
    cheeks: Bool[np.ndarray, " vertex"]
    """Whether each vertex is on the cheeks, where the skin colour of a person is measured."""
    blotches: Float[np.ndarray, " vertex"]
    """Random numbers with standard deviation 1 that vary over the skin within centimetres."""
    mood: Float[np.ndarray, " vertex"]
    """Strength of the wrinkles that an expression can make, 0 to 1; 0 on lids, lips, and beyond the face."""
    measured: Int[np.ndarray, " measured_vertex"]
    """Indices of the vertices of cheeks and forehead by which the image is exposed."""


def head_fields(head: HeadGeometry) -> HeadFields:
    """Compute the numbers at the vertices and triangles of the face model that rendering needs and that are the same
    for everyone, such as regions of the skin.
    """
    parts, mean = head.parts, head.mean.reshape(-1, 3)
    part = np.asarray(parts.part, np.int64)
    seen = ((mean > IN_IMAGES[0]) & (mean < IN_IMAGES[1])).all(axis=1)
    skin = (part == 0) & seen
    drawn = seen[head.triangles].any(axis=1)
    triangles = np.ascontiguousarray(head.triangles[drawn])
    kinds = np.select(
        [np.isin(part, EYE_LABELS), part >= UPPER_TEETH, part == TONGUE_LABEL],
        [EYE, TEETH, TONGUE],
        SKIN,
    )
    kind = kinds[triangles[:, 0]].astype(np.int32)
    cheek, nose, forehead, lids, ears = (
        np.asarray(mask, np.float32)
        for mask in (
            parts.cheek_mask, parts.nose_mask, parts.forehead_mask, parts.lids_mask, parts.ears_mask,
        )
    )  # fmt: skip
    around = neighbours(mean, head.triangles)
    lips = _soft_lips(parts, around, skin)
    shine = 1 + 1.0 * np.clip(lips, 0, 1) + 0.35 * nose + 0.3 * forehead - 0.5 * np.clip(ears, 0, 1)
    face = np.asarray(parts.face_mask, np.float32)
    mood = np.clip(face * (1 - np.clip(lips, 0, 1)) * (1 - np.clip(lids * 1.5, 0, 1)), 0, 1)
    return HeadFields(
        triangles=triangles,
        kind=kind,
        seen=seen,
        skin=skin,
        neighbours=around,
        occluders=coarse_mesh(mean, head.triangles, part, head.landmark_vertices),
        place=_places(head, part),
        mouth=_mouth(head, part),
        gum=_gums(part, mean),
        wet=_wet_edges(head, part),
        shine=np.where(skin, shine, 1).astype(np.float32),
        collar=_smooth_collar(head, around, part),
        lips=np.where(skin, np.clip(lips, 0, 1) ** 1.4, 0).astype(np.float32),
        cheeks=skin & (cheek > 0.4),
        blotches=random_waves(mean, 9.0, np.random.default_rng(MOTTLE_SEED)),
        mood=mood * skin,
        measured=np.flatnonzero(cheek + forehead > 0.3),
    )


def head_detail(head: HeadGeometry, fields: HeadFields) -> SkinDetail:
    """Draw the texture map of the skin's detail (pores, freckles, moles) for the face model; takes about a second."""
    parts, skin = head.parts, fields.kind == SKIN
    cheek, nose, forehead = (
        np.asarray(mask, np.float32) for mask in (parts.cheek_mask, parts.nose_mask, parts.forehead_mask)
    )
    regions = SkinRegions(
        _soft_lips(parts, fields.neighbours, fields.skin),
        np.clip(cheek + nose + 0.5 * forehead, 0, 1),
        np.clip(nose + 0.6 * cheek, 0, 1),
    )
    drawn = fields.seen[head.triangles].any(axis=1)
    layout = TextureLayout(
        np.asarray(parts.texture_uv, np.float32), np.asarray(parts.texture_tri, np.int32)[drawn]
    )
    on_skin = TextureLayout(layout.uv, layout.corners[skin])
    mean = head.mean.reshape(-1, 3)
    return SkinDetail(skin_detail(mean, fields.triangles[skin], on_skin, regions).layers, layout)


def _soft_lips(parts: HeadParts, around: Neighbours, skin: Bool[np.ndarray, " vertex"]) -> np.ndarray:
    """Soften the edge of the mask of the lips."""
    lips = np.asarray(parts.lips_mask, np.float32)
    return around.averaged(np.stack([lips] * 3, axis=1), skin, (2, 2, 2))[:, 0]


def coarse_mesh(
    mean: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    part: Int[np.ndarray, " vertex"],
    landmarks: Int[np.ndarray, "68"],
) -> Occluders:
    """Simplify a mesh: keep one vertex in each cell of a grid, finer around eyes, nose and mouth.

    Args:
        mean: vertices of the mean head, model units.
        triangles: triangles of the mesh.
        part: label of the part (skin, eyes and so on) of each vertex; vertices of different parts are kept apart.
        landmarks: vertex indices of the 68 landmarks.
    """
    inner = mean[landmarks[17:]]
    margin = 0.12
    fine = ((mean > inner.min(axis=0) - margin) & (mean < inner.max(axis=0) + margin))[:, :2].all(axis=1)
    fine &= mean[:, 2] > inner[:, 2].min() - 0.3
    far = mean[:, 1] < mean[landmarks[8], 1] - 0.1
    cell = np.select([fine, far], [FINE_CELL, FAR_CELL], COARSE_CELL)
    grid = np.floor(mean / cell[:, None]).astype(np.int64) + 1000
    key = (
        ((grid[:, 0] * 4000 + grid[:, 1]) * 4000 + grid[:, 2]) * 32
        + part.astype(np.int64) * 4
        + np.select([fine, far], [1, 2], 0)
    )
    _, cluster = np.unique(key, return_inverse=True)
    cluster = cluster.ravel()
    count = cluster.max() + 1
    middle = np.stack([np.bincount(cluster, mean[:, axis], count) for axis in range(3)], axis=1)
    middle /= np.bincount(cluster, minlength=count)[:, None]
    distance = np.linalg.norm(mean - middle[cluster], axis=1)
    first = np.lexsort((distance, cluster))
    kept = first[np.searchsorted(cluster[first], np.arange(count))]  # the vertex nearest to the middle
    mapped = kept[cluster][triangles]
    proper = (mapped[:, 0] != mapped[:, 1]) & (mapped[:, 1] != mapped[:, 2]) & (mapped[:, 2] != mapped[:, 0])
    mapped = mapped[proper]
    turn = (mapped.argmin(axis=1)[:, None] + np.arange(3)) % 3  # triangles that face opposite ways both stay
    once = np.unique(np.take_along_axis(mapped, turn, axis=1), axis=0)
    used, corners = np.unique(once, return_inverse=True)
    return Occluders(used, np.ascontiguousarray(corners.reshape(-1, 3), np.int32))


def _places(head: HeadGeometry, part: np.ndarray) -> np.ndarray:
    place = head.mean.reshape(-1, 3).copy()
    polar, azimuth = np.asarray(head.parts.eye_polar), np.asarray(head.parts.eye_azimuth)
    directions = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1
    )
    eyes = np.isin(part, EYE_LABELS)
    place[eyes] = directions[eyes]
    for label in (UPPER_TEETH, LOWER_TEETH):
        row = part == label
        if row.any():
            place[row, 2] -= place[row, 2].max() - TOOTH_ARCH_CENTRE
    return place.astype(np.float32)


def _smooth_collar(head: HeadGeometry, around: Neighbours, part: np.ndarray) -> np.ndarray:
    """Smooth the distance to the collar, whose line is jagged on the coarse triangles of the neck."""
    evenly = replace(around, share=np.full_like(around.share, 0.6))
    distance = np.stack([head.cloth_distance] * 3, axis=1)
    smooth = evenly.averaged(distance, part == 0, (COLLAR_STEPS,) * 3)[:, 0]
    return np.where(part == 0, smooth, -1).astype(np.float32)


def _mouth(head: HeadGeometry, part: np.ndarray) -> np.ndarray:
    mean = head.mean.reshape(-1, 3)
    inside = np.clip(np.asarray(head.parts.mouth_mask, np.float32), 0, 1)
    inside[part >= TONGUE_LABEL] = 1
    lips_z = float(mean[head.landmark_vertices[48:], 2].mean())
    return (inside * smoothstep(lips_z - 0.6, lips_z - 0.08, mean[:, 2])).astype(np.float32)


def _gums(part: np.ndarray, mean: np.ndarray) -> np.ndarray:
    gum = np.zeros(len(part), np.float32)
    for label, (start, end) in GUM_EDGES.items():
        row = part == label
        if row.any():
            height = mean[row, 1]
            gum[row] = smoothstep(start, end, (height - height.min()) / max(float(np.ptp(height)), 1e-6))
    return gum


def _wet_edges(head: HeadGeometry, part: np.ndarray) -> np.ndarray:
    """Weight the edges of the lids by their distance from the eyeball."""
    mean = head.mean.reshape(-1, 3)
    wet = np.zeros(len(part), np.float32)
    for eye in head.eyes:
        ball = mean[eye.ball]
        centre = ball.mean(axis=0)
        radius = np.linalg.norm(ball - centre, axis=1).max()
        off = np.linalg.norm(mean[eye.lids] - centre, axis=1) / radius
        wet[eye.lids] = smoothstep(1.12, 1.02, off)
    return wet * np.clip(np.asarray(head.parts.lids_mask, np.float32), 0, 1)
