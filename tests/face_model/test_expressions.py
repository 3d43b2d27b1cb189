"""Expressions by name."""

import numpy as np
import pytest

from anifacegan.face_model.expressions import PRESETS, action_units, parse_strengths
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.runtime.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smile=0.7,blink=0.3", {"smile": 0.7, "blink": 0.3}),
        (" smile = .7 , blink ", {"smile": 0.7, "blink": 1.0}),
        ("jawOpen=-1e-1", {"jawOpen": -0.1}),
        ("smile", {"smile": 1.0}),
    ],
)
def test_names_and_strengths_are_read(text: str, expected: dict[str, float]) -> None:
    assert parse_strengths(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "smile=",
        "smile=much",
        "smile=nan",
        "smile=inf",
        "=0.5",
        "smile=1,",
        "smile=1,smile=0",
        "smile=0.5=1",
    ],
)
def test_an_unreadable_expression_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_strengths(text)
    assert f"'{text}'" in str(error.value) and "\n" not in str(error.value)


def test_a_preset_is_expanded_and_scaled() -> None:
    presets = {"smile": {"mouthSmile": 0.8, "cheekSquint": 0.5}}
    assert action_units({"smile": 0.5}, presets) == pytest.approx({"mouthSmile": 0.4, "cheekSquint": 0.25})


def test_another_name_is_an_action_unit() -> None:
    assert action_units({"jawOpen": 0.3}, PRESETS) == {"jawOpen": 0.3}


def test_presets_and_units_add_up() -> None:
    presets = {"smile": {"mouthSmile": 0.8}, "grin": {"mouthSmile": 1.0, "jawOpen": 0.2}}
    came = action_units({"smile": 0.5, "grin": 0.1, "mouthSmile": 0.2}, presets)
    assert came == pytest.approx({"mouthSmile": 0.7, "jawOpen": 0.02})


def test_every_preset_is_made_of_units_of_the_open_face_model(face_model: MorphableModel) -> None:
    basis = load_head_parts().expression_basis()
    for name, units in PRESETS.items():
        values = basis.from_strengths(units)
        assert values.shape == (64,) and np.abs(values).max() > 0.1, name
