"""A small random head with all parts of a face model file, so that tests of pictures need no built model."""

from pathlib import Path

import numpy as np
import torch

from anifacegan.coefficients import OPEN_FACE_MODEL
from anifacegan.expressions import PRESETS
from anifacegan.morphable import HeadParts, MorphableModel, synthetic_face_model

PEOPLE = 1500
TWO_SIDED = ("mouthSmile", "eyeBlink", "mouthFrown", "browDown", "browOuterUp")
ONE_SIDED = {name for strengths in PRESETS.values() for name in strengths} - set(TWO_SIDED)
UNITS = sorted({"tongueOut", *ONE_SIDED, *(f"{name}{side}" for name in TWO_SIDED for side in ("Left", "Right"))})


def tiny_model() -> MorphableModel:
    return synthetic_face_model(torch.Generator().manual_seed(0))


def tiny_parts(model: MorphableModel) -> HeadParts:
    """Parts for :func:`tiny_model`: two patches are eyeballs with lids beside them, the top is hair, the bottom cloth.

    People: identity entry 0 is gender, 1 descent, 2 age; men have a rare beard along texture entry 0.
    """
    rng = np.random.default_rng(0)
    points = model.mean.numpy()
    vertices = len(points)
    part = np.zeros(vertices, np.uint8)
    lids = []
    for label, side in ((1, 1), (2, -1)):
        distance = np.linalg.norm(points - [0.3 * side, 0.22, 0.7], axis=1)
        order = np.argsort(distance)
        part[order[:12]] = label
        lids.append(order[12:20].astype(np.int32))
    z_id = rng.normal(size=(PEOPLE, 80))
    gender = (z_id[:, 0] > 0).astype(float)
    z_id[:, 0] = np.where(gender > 0, 1.0, -1.0) + 0.1 * rng.normal(size=PEOPLE)
    tex = rng.normal(size=(PEOPLE, 80)) / (1 + np.arange(80) / 10)
    tex[:, 0] = np.where((gender > 0) & (rng.random(PEOPLE) < 0.25), 6.0, 0.0) + 0.2 * rng.normal(size=PEOPLE)
    race = np.stack([z_id[:, 1] > 0.8, z_id[:, 1] < -0.8, np.abs(z_id[:, 1]) <= 0.8], axis=1).astype(float)
    hair_sd = np.tile((points[:, 1] - 0.5).astype(np.float32), (9, 1))
    curtain = np.flatnonzero(points[:, 1] > 0.3)[:4].astype(np.int32)
    return HeadParts(
        part=part,
        uv=np.zeros((vertices, 2), np.float32),
        au_names=np.array(UNITS),
        au2exp=rng.normal(size=(64, len(UNITS))).astype(np.float32),
        au_bank=rng.random((50, len(UNITS))).astype(np.float16),
        bank_id=z_id.astype(np.float16),
        bank_tex=tex.astype(np.float16),
        bank_hair_rgb=rng.uniform(0.1, 0.5, (PEOPLE, 1)).repeat(3, axis=1).astype(np.float16),
        bank_gender=gender.astype(np.float16),
        bank_age=(40 + 10 * z_id[:, 2]).astype(np.float16),
        bank_race=race.astype(np.float16),
        bank_bald=np.zeros(PEOPLE, bool),
        hair_names=np.array(["buzz", "short", "quiff", "medium", "afro", "receding", "tied", "long", "fringe"]),
        hair_disp=np.maximum(hair_sd, 0).astype(np.float16) * 0.2,
        hair_sd=hair_sd.astype(np.float16),
        hair_dir=(points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16),
        lid_l=lids[0],
        lid_r=lids[1],
        curtain_anchor=curtain,
        curtain_off=rng.normal(size=(4, 3)).astype(np.float32) * 0.1,
        curtain_tri=np.array([[0, 1, 2], [1, 2, 3]], np.int32),
        cloth_sd=(-0.6 - points[:, 1]).astype(np.float16),
        gloss=np.full(vertices, 0.1, np.float16),
        front_mask=(points[:, 2] > 0).astype(np.float16),
        face_mask=(points[:, 2] > 0).astype(np.float16),
        lips_mask=np.zeros(vertices, np.float16),
    )


def write_tiny_file(path: Path) -> None:
    """A face model file that holds the tiny head."""
    model = tiny_model()
    flat = {
        name: getattr(model, name).numpy().reshape(3 * len(model.mean), -1)
        for name in ("id_basis", "exp_basis", "tex_basis")
    }
    np.savez(
        path,
        version=np.array(OPEN_FACE_MODEL),
        mean=model.mean.numpy(),
        tex_mean=model.tex_mean.numpy(),
        tri=model.triangles.numpy().astype(np.int32),
        landmarks68=model.landmark_vertices.numpy().astype(np.int32),
        **flat,
        **vars(tiny_parts(model)),
    )
