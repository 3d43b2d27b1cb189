"""Writes one coefficient file for each named expression of the open face model.

Each file has all coefficients of a Deep3DFaceRecon .mat file, of the average face seen from the front: ``exp`` is the
expression, ``id`` and ``tex`` are zero, ``face_model`` names the model that the coefficients belong to. The same face
model gives the same bytes.
"""

from pathlib import Path

import numpy as np
import torch

from anifacegan.cli.expressions.config import ExpressionsConfig
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients
from anifacegan.face_model.expressions import PRESETS, action_units
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import orbit_camera, to_lm68
from anifacegan.geometry.conventions import ID_DIM, LIGHT_DIM, TEX_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.output_folders import filled_when_complete, require_room


def write_expressions(config: ExpressionsConfig) -> list[str]:
    """Write the coefficient files and a README.md into the output folder; return the names of the expressions.

    Raises:
        InputError: there is no readable face model, or the folder is not writable.
    """
    require_room(config.out, ["README.md", *(f"{name}.mat" for name in PRESETS)], config.overwrite)
    faces = named_expressions(config.face_model)
    with filled_when_complete(config.out, config.overwrite) as folder:
        for name, face in faces.items():
            write_coefficients(folder / f"{name}.mat", face)
        (folder / "README.md").write_text(readme(next(iter(faces.values())).face_model))
    return list(faces)


def named_expressions(face_model: Path | None) -> dict[str, FaceCoefficients]:
    """Return the coefficients of each named expression, of the average face seen from the front by the generator's
    camera.

    Raises:
        InputError: there is no readable face model.
    """
    model, basis = load_open_face_model(face_model), load_head_parts(face_model).expression_basis()
    frontal = torch.zeros(1, dtype=torch.float64)
    camera = orbit_camera(yaw=frontal, pitch=frontal, size=224)
    faces = {}
    for name in PRESETS:
        z_exp = basis.from_strengths(action_units({name: 1.0}, PRESETS))
        vertices = model.shape(torch.zeros(1, ID_DIM), torch.from_numpy(z_exp)[None])
        landmarks = to_lm68(camera, model.to_world(model.landmarks(vertices)).double())[0]
        faces[name] = FaceCoefficients(
            id=np.zeros(ID_DIM, np.float32),
            exp=z_exp,
            tex=np.zeros(TEX_DIM, np.float32),
            angle=np.zeros(3, np.float32),
            gamma=np.zeros(LIGHT_DIM, np.float32),
            trans=(model.world_offset / WORLD_PER_MODEL_UNIT).numpy(),
            lm68=landmarks.numpy().astype(np.float32),
            pose=np.zeros(2, np.float32),
            face_model=model.name,
        )
    return faces


def readme(face_model: str) -> str:
    """Return the text of the folder's README.md: the files, and the action units of each expression."""
    rows = []
    for name, units in PRESETS.items():
        recipe = ", ".join(f"{unit} {strength:g}" for unit, strength in units.items())
        rows.append([f"`{name}.mat`", name.replace("_", " "), recipe])
    return "\n".join(
        [
            "# Expressions",
            "",
            "Coefficient files (Deep3DFaceRecon's keys) of named expressions, for `anifacegan render --expression`.",
            "",
            f"Origin: written by `anifacegan expressions` with the open face model `{face_model}`, as mixtures",
            "of its action units below (a name without Left or Right moves both sides). The face model is built from",
            "MakeHuman's CC0 data; these files are CC0 as well. No photograph and no person stands behind them. `id`",
            "and `tex` are zero, the pose is frontal, and the key `face_model` names the model that `exp` belongs to:",
            "`anifacegan render` refuses the files for a model with another basis, such as BFM.",
            "",
            markdown_table(["file", "expression", "action units"], rows),
            "",
        ]
    )
