"""Expressions in action units of the open face model: those a user can name, and those its coefficients stand for."""

from anifacegan.errors import InputError

PRESETS: dict[str, dict[str, float]] = {
    "smile": {
        "mouthSmile": 0.8, "cheekSquint": 0.9, "mouthUpperUp": 0.7, "eyeSquint": 0.4, "mouthLowerDown": 0.3,
    },
    "jaw_open": {"jawOpen": 0.9},
    "blink": {"eyeBlink": 1.0},
    "frown": {"mouthFrown": 0.9, "browDown": 1.0, "mouthShrugLower": 0.4},
    "pucker": {"mouthPucker": 1.0},
    "brow_raise": {"browInnerUp": 0.9, "browOuterUp": 1.0, "eyeWide": 0.4},
}
"""What the files of ``mat/`` hold."""

ACTIONS: dict[str, dict[str, float]] = {
    "jaw open": {"jawOpen": 1.0},
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "brows down": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "corners down": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
    "sneer": {"mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0, "noseSneerLeft": 0.7, "noseSneerRight": 0.7},
    "mouth to the left": {"mouthLeft": 0.5, "mouthRight": -0.5},
    "smile higher on the left": {"mouthSmileLeft": 0.5, "mouthSmileRight": -0.5},
}
"""What the open face model's first expression coefficients do, in order; other actions make another face model. Left is
the person's own. The last two are one-sided by difference: a smile on the left alone is "smile" and "smile higher on
the left" together.
"""


def is_strong_unit(unit: str) -> bool:
    """Whether a unit is one of MakeHuman's own, which move a face further than ARKit's; their names have hyphens."""
    return "-" in unit


def parse_strengths(text: str) -> dict[str, float]:
    """``"smile=0.7,blink=0.3"`` to names and strengths; a name alone has strength 1.

    Raises:
        InputError: a strength is no finite number, or a name is given twice.
    """
    strengths: dict[str, float] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        try:
            strength = float(value) if equals else 1.0
        except ValueError:
            strength = float("nan")
        if not name or name in strengths or not abs(strength) < float("inf"):
            raise InputError(f"expression '{text}': cannot read '{item.strip()}', expected name=strength,... each once")
        strengths[name] = strength
    return strengths


def action_units(strengths: dict[str, float], presets: dict[str, dict[str, float]]) -> dict[str, float]:
    """Named expressions spelled out in action units; other names are taken as units."""
    units: dict[str, float] = {}
    for name, strength in strengths.items():
        for unit, share in presets.get(name, {name: 1.0}).items():
            units[unit] = units.get(unit, 0.0) + strength * share
    return units
