"""Write mat/: one coefficient file for each named expression, made with the open face model.

    python scripts/make_expressions.py --out mat

Each file is a whole Deep3DFaceRecon .mat of the average face, frontal: ``exp`` is the expression, ``id`` and ``tex``
are zero, ``face_model`` says which model the coefficients belong to. mat/README.md says where each comes from. The same
face model file gives the same bytes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients
from anifacegan.face_model.expressions import PRESETS, action_units
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import orbit_camera, to_lm68
from anifacegan.geometry.conventions import ID_DIM, LIGHT_DIM, TEX_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.files import markdown_table, write_complete
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class MakeExpressionsConfig:
    """Write one .mat for each named expression, and a README.md that says what they are."""

    out: Path = Path("mat")
    """Folder to write."""
    face_model: Path | None = None
    """File of the open face model. null: the one that scripts/build_face_model.py keeps in the cache."""


def coefficients_of(model: MorphableModel, z_exp: np.ndarray) -> FaceCoefficients:
    """The average face with an expression, seen frontally by the generator's camera."""
    camera = orbit_camera(
        yaw=torch.zeros(1, dtype=torch.float64), pitch=torch.zeros(1, dtype=torch.float64), size=224
    )
    vertices = model.shape(torch.zeros(1, ID_DIM), torch.from_numpy(z_exp)[None])
    landmarks = to_lm68(camera, model.to_world(model.landmarks(vertices)).double())[0]
    return FaceCoefficients(
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


def readme(face_model: str) -> str:
    """What the files are, and where each comes from."""
    rows = []
    for name, units in PRESETS.items():
        recipe = ", ".join(f"{unit} {strength:g}" for unit, strength in units.items())
        rows.append([f"`{name}.mat`", name.replace("_", " "), recipe])
    return "\n".join(
        [
            "# Expressions",
            "",
            "Coefficient files (Deep3DFaceRecon's layout) of named expressions, for `render.py --expression`.",
            "",
            f"Origin: written by `scripts/make_expressions.py` with the open face model `{face_model}`, as mixtures",
            "of its action units below (a name without Left or Right moves both sides). The face model is built from",
            "MakeHuman's CC0 data; these files are CC0 as well. No photograph and no person stands behind them. `id`",
            "and `tex` are zero, the pose is frontal, and the key `face_model` names the model that `exp` belongs to:",
            "render.py refuses the files for a model with another basis, such as BFM.",
            "",
            markdown_table(["file", "expression", "action units"], rows),
            "",
        ]
    )


def main() -> None:
    with exit_on_input_error():
        config = read_config(MakeExpressionsConfig, sys.argv[1:], "make_expressions.py")
        model = load_open_face_model(config.face_model)
        basis = load_head_parts(config.face_model).expression_basis()
        config.out.mkdir(parents=True, exist_ok=True)
        for name in PRESETS:
            z_exp = basis.from_strengths(action_units({name: 1.0}, PRESETS))
            write_coefficients(config.out / f"{name}.mat", coefficients_of(model, z_exp))
        write_complete(config.out / "README.md", readme(model.name))
        print(f"{config.out}: {', '.join(PRESETS)}")


if __name__ == "__main__":
    main()
