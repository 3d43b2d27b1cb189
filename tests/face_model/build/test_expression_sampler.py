"""Random expressions: ranges, and independence of mouth, brows and eyes."""

import numpy as np

from anifacegan.face_model.build.expression_sampler import ExpressionSampler


def unit_names() -> tuple[str, ...]:
    """The names of the Face Units and MakeHuman's own units that the sampler asks for."""
    both_sides = ("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
                  "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
                  "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")  # fmt: skip
    single = ("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthFunnel", "mouthLeft",
              "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
              "tongueOut", "mouth-compression", "mouth-elevation",
              "nose-left-dilatation", "nose-right-dilatation")  # fmt: skip
    return tuple(sorted([name + side for name in both_sides for side in ("Left", "Right")] + list(single)))


def drawn(names: tuple[str, ...], count: int) -> dict[str, np.ndarray]:
    """Unit -> strengths of so many expressions."""
    sampler, rng = ExpressionSampler(names), np.random.default_rng(0)
    return dict(zip(names, np.stack([sampler.draw(rng) for _ in range(count)]).T, strict=True))


def test_drawn_expressions_are_in_range_and_both_eyes_look_the_same_way() -> None:
    strength, again = drawn(unit_names(), 500), drawn(unit_names(), 500)
    for name, values in strength.items():
        np.testing.assert_array_equal(values, again[name])
        assert values.min() == 0 and values.max() <= 1
    np.testing.assert_array_equal(strength["eyeLookOutLeft"], strength["eyeLookInRight"])
    np.testing.assert_array_equal(strength["eyeLookUpLeft"], strength["eyeLookUpRight"])
    smiles = strength["mouthSmileLeft"] > 0.3
    assert strength["cheekSquintLeft"][smiles].mean() > 2 * strength["cheekSquintLeft"][~smiles].mean()


def test_mouth_brows_and_eyes_are_drawn_each_by_themselves() -> None:
    strength = drawn(unit_names(), 3000)
    for one in ("mouthSmileLeft", "jawOpen", "mouthPucker"):
        for other in ("browOuterUpLeft", "browDownLeft", "eyeBlinkLeft"):
            assert abs(np.corrcoef(strength[one], strength[other])[0, 1]) < 0.08
    lopsided = np.abs(strength["mouthSmileLeft"] - strength["mouthSmileRight"]) > 0.3
    assert 0.03 < lopsided.mean() < 0.12  # the kind's share, times its larger amplitudes
    winks = (strength["eyeBlinkLeft"] > 0.6) != (strength["eyeBlinkRight"] > 0.6)
    assert 0.03 < winks.mean() < 0.08
    raised, right = strength["browOuterUpLeft"] > 0.3, strength["browOuterUpRight"]
    lowered = strength["browDownRight"]
    assert (
        lowered[raised & (right < 0.1)].mean() > 3 * lowered[raised & (right > 0.3)].mean()
    )  # one up, the other down
