"""Irises, lids' shadows and teeth, sample by sample."""

import numpy as np
import pytest

from anifacegan.data.synthetic.shading.eyes import eye_sample, lid_shadow
from anifacegan.data.synthetic.shading.mouth import teeth_sample, tooth_gaps
from anifacegan.data.synthetic.shading.shading import Looks
from anifacegan.data.synthetic.surface.vertex_table import COLUMNS, DIM, MATERIAL, NORMAL, PLACE, WET

F = np.float32
IRIS, WHITE, TOOTH = F([0.1, 0.2, 0.4]), F([0.5, 0.5, 0.5]), F([0.6, 0.55, 0.5])
LOOKS = Looks(
    roughness=F(0.5), bump=F(1), blood=F(0), mottle=F(0), freckles=F(0), mole_turn=F(0), mole_from=F(2),
    scalp_rgb=(F(0), F(0), F(0)), cloth_rgb=(F(0), F(0), F(0)), iris_rgb=tuple(IRIS), pupil_deg=F(10),
    sclera_rgb=tuple(WHITE), tooth_rgb=tuple(TOOTH),
)  # fmt: skip


def eye_colour(polar_deg: float, shadow: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    value, colour, material = np.zeros(COLUMNS, F), np.zeros(3, F), np.zeros(MATERIAL, F)
    angle = np.radians(polar_deg)
    value[PLACE : PLACE + 3] = [np.sin(angle), 0, np.cos(angle)]
    value[NORMAL : NORMAL + 3] = value[PLACE : PLACE + 3]
    value[WET] = shadow
    eye_sample(value, LOOKS, colour, material)
    return colour, material


def test_an_eye_has_a_black_pupil_a_coloured_iris_a_dark_limbus_and_a_white() -> None:
    pupil, iris, limbus, white = (eye_colour(angle)[0] for angle in (3, 17, 25.5, 33))
    assert pupil.max() < 0.01
    assert iris[2] > 1.5 * iris[1] > 2 * iris[0] > 0
    assert limbus.sum() < iris.sum() < white.sum()
    assert white == pytest.approx(WHITE, abs=0.05)


def test_the_lid_shades_the_eye_below_it_and_less_further_down() -> None:
    lid = F([[-0.2, 0.1, 0], [0.2, 0.1, 0]])
    shade = lid_shadow(F([[0, 0.1, 0], [0, 0.05, 0], [0, -0.2, 0], [0.1, 0.15, 0]]), lid)
    assert shade[0] == 1 and shade[3] == 1 and 0.2 < shade[1] < 0.7 and shade[2] < 0.02
    assert (lid_shadow(np.zeros((4, 3), F), lid[:1]) == 0).all()  # a head without lids
    assert eye_colour(33, shadow=1.0)[1][DIM] < 0.5 < eye_colour(33)[1][DIM] == 1


def tooth_colour(angle: float, gum: float = 0.0) -> np.ndarray:
    value, colour, material = np.zeros(COLUMNS, F), np.zeros(3, F), np.zeros(MATERIAL, F)
    value[PLACE : PLACE + 3] = [np.sin(angle), 0, np.cos(angle)]
    value[NORMAL + 2] = 1
    value[WET] = gum
    teeth_sample(value, LOOKS, tooth_gaps(), colour, material)
    return colour


def test_teeth_are_light_with_dark_gaps_and_red_gums() -> None:
    gaps = tooth_gaps()
    between = (gaps[0] + gaps[1]) / 2
    assert tooth_colour(between) == pytest.approx(TOOTH, rel=0.12)
    assert (tooth_colour(gaps[1]) < 0.5 * TOOTH).all()
    gum = tooth_colour(between, gum=1.0)
    assert gum[0] > 2 * gum[1]
    assert np.allclose(tooth_colour(-between), tooth_colour(between))
