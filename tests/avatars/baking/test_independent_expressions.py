"""Mixtures of other expressions get no blendshape, so that each expression that has one is shown by it alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.baking.independent_expressions import independent_expressions
from anifacegan.cli.bake import run
from anifacegan.cli.bake.config import BakeCommand
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from tests.fixtures.flat_avatars import bumpy_layer, layered_mesh_of

ROWS = {
    "a": np.eye(64, dtype=np.float32)[3] * 2 + np.eye(64, dtype=np.float32)[5],
    "b": np.eye(64, dtype=np.float32)[5] * 0.3 - np.eye(64, dtype=np.float32)[9],
    "c": np.eye(64, dtype=np.float32)[60],
    "neutral": np.zeros(64, np.float32),
}


def row(mixture: str) -> np.ndarray:
    """Coefficients of a mixture such as "0.7a+0.3b", rounded as those of files are."""
    parts = (part.strip() for part in mixture.split("+"))
    values = sum(
        float(part[:-1] or 1) * ROWS[part[-1]] if part != "neutral" else ROWS[part] for part in parts
    )
    return np.asarray(values, np.float32)


@pytest.mark.parametrize(
    ("expressions", "kept"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        (["a", "b", "0.7a+0.3b"], ["a", "b"]),
        (["1a+1b", "a", "b"], ["a", "b"]),
        (["0.3a", "0.6a", "a", "b"], ["a", "b"]),
        (["a", "-1a"], ["a"]),
        (["a", "b", "-0.5a+2b", "c"], ["a", "-0.5a+2b", "c"]),
        (["b", "b", "neutral"], ["b", "neutral"]),
        (["a", "1a+0.01c"], ["a", "1a+0.01c"]),
        (["c"], ["c"]),
    ],
)
def test_mixtures_are_left_out(expressions: list[str], kept: list[str]) -> None:
    rows = independent_expressions(np.stack([row(name) for name in expressions]))
    assert [expressions[k] for k in rows] == kept


def test_only_other_expressions_are_baked_and_the_rest_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def no_bake(condition: object, z_exp: np.ndarray, *_: object) -> None:
        asked.append(z_exp)
        raise InputError("enough")

    monkeypatch.setattr(run, "bake", no_bake)
    monkeypatch.setattr(run, "model_charts", lambda model, side: None)
    config = BakeCommand(out=tmp_path / "a.safetensors", expressions=("smile", "blink", "smile,blink"))
    model = load_model("demo")
    with pytest.raises(InputError, match="enough"):
        run.baked_avatar(config, model)
    line = "'smile,blink' is a mixture of the other expressions, and shown as such\n"
    assert capsys.readouterr().err == line
    expected = [model.expressions.coefficients(name) for name in ("smile", "blink")]
    np.testing.assert_array_equal(asked[0], np.stack(expected))


def test_weights_of_expressions_that_are_mixtures_but_for_rounding() -> None:
    """As files of earlier versions may have them: coefficients are float32, so sums differ from them by 1e-7."""
    z_exp = np.stack([row(name) for name in ("a", "b", "0.7a+0.3b")])
    z_exp[2] *= np.float32(1 + 1e-7)
    rng = np.random.default_rng(0)
    flat = layered_mesh_of(bumpy_layer(0.0, rng))
    shapes = np.zeros((len(z_exp), *flat.blendshapes.shape[1:]), np.float32)
    offsets = np.zeros((len(z_exp), *flat.texel_offsets.shape[1:]), np.float32)
    mesh = dataclasses.replace(flat, z_exp=z_exp, blendshapes=shapes, texel_offsets=offsets)
    for coefficients in z_exp:
        assert mesh.approximation_error(coefficients) < 1e-5
        assert np.abs(mesh.weights(coefficients)).max() < 1.01
