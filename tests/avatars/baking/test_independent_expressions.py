"""Mixtures of other expressions get no blendshape, so that each expression that has one is shown by it alone."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan import load_avatar
from anifacegan.avatars.baking.independent_expressions import independent_expressions
from anifacegan.cli.main import main
from anifacegan.rendering.model import load_model

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


def test_an_avatar_shows_every_expression_it_was_baked_with(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Also mixtures of float32 coefficients, which differ from sums by rounding: once they were refused."""
    out = tmp_path / "person.safetensors"
    words = ["--bake.texture", "64", "--bake.grid", "32", "--expressions", "smile", "blink", "smile,blink"]
    main(["bake", "--seed", "7", "--out", str(out), *words])
    assert "'smile,blink' is a mixture of the other expressions, and shown as such" in capsys.readouterr().err
    avatar, coefficients = load_avatar(out), load_model("demo").expressions.coefficients
    assert avatar.card.expressions == ("smile", "blink")
    for name, weights in {"smile": (1, 0), "blink": (0, 1), "smile,blink": (1, 1), "neutral": (0, 0)}.items():
        z_exp = coefficients(name)
        avatar.check_expression(z_exp, name)
        np.testing.assert_allclose(avatar.layered_mesh.weights(z_exp), weights, atol=1e-5)  # float32
