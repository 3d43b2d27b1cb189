"""Messages of the page: every value is checked, and what is wrong is said in one line."""

import json
import random

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.viewer.requests import MOST_CHARACTERS, Draw, Load, Record, Screenshot, View, parse_message


def draw(**view: object) -> str:
    return json.dumps({"type": "draw", "id": 3, "view": view})


def test_a_view_has_defaults_and_takes_everything() -> None:
    assert parse_message(draw()) == Draw(View(), 3)
    view = {
        "seed": 7, "psi": 0.5, "strengths": {"smile": 0.7}, "coefficients": [0.5, -1], "yaw": 0.3, "pitch": -0.1,
        "size": 128, "shown": "slice", "source": "networks", "plane": "xz", "at": 0.02,
    }  # fmt: skip
    message = parse_message(draw(**view))
    assert isinstance(message, Draw)
    assert message.view == View(**view | {"coefficients": (0.5, -1.0)})
    assert parse_message('{"type": "load", "path": "demo"}') == Load("demo")
    assert parse_message('{"type": "record", "on": true}') == Record(True)
    assert parse_message('{"type": "screenshot", "view": {}}') == Screenshot(View())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a JSON file"),
        ("[" * 5000, "not a JSON file"),
        ("[1]", "holds a list, expected keys and values"),
        (
            '{"type": "draw", "view": {"strengths": {"smile": true}}}',
            "strengths is {'smile': True}, expected keys and values, each a number",
        ),
        ("{}", "type is None, expected one of draw"),
        ('{"type": ["draw"]}', "type is ['draw']"),
        ('{"type": "draw", "view": {}, "speed": 1}', "unknown key 'speed'"),
        ('{"type": "record", "on": 1}', "on is 1, expected true or false"),
        (draw(seed=-1), "seed is -1, expected 0 to"),
        (draw(seed=2.5), "seed is 2.5, expected a whole number"),
        (draw(yaw=float("nan")), "yaw is nan, expected"),
        (draw(yaw=99), "yaw is 99.0, expected"),
        (draw(psi=float("inf")), "psi is inf, expected -4 to 4"),
        (draw(size=10**9), "size is 1000000000, expected 32 to 1024"),
        (draw(at=1), "at is 1.0, expected"),
        (draw(shown="teeth"), "shown is teeth, expected one of colour, depth, normals, slice"),
        (draw(strengths={"smile": 1e9}), "strengths.smile is 1000000000.0"),
        (draw(strengths={"smile": "x"}), "strengths is {'smile': 'x'}"),
        (draw(strengths={f"n{k}": 1.0 for k in range(200)}), "strengths is 200 names, expected at most 128"),
        (draw(coefficients=[0.0] * 65), "expected at most 64 numbers"),
        (draw(coefficients=[float("nan")]), "expected at most 64 numbers"),
        (draw(strengths={"x" * MOST_CHARACTERS: 1.0}), "expected at most 16384"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_message(text)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_mutations_of_a_message_end_well_or_in_an_input_error() -> None:
    rng = random.Random(5)
    valid = draw(seed=7, strengths={"smile": 0.5}, coefficients=[1, 2], yaw=0.1, shown="depth")
    refused = 0
    for _ in range(400):
        changed = list(valid)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.choice('0192.eE-+[]{}",:abx\0é')
        try:
            parse_message("".join(changed))
        except InputError:
            refused += 1
    assert 200 < refused <= 400
