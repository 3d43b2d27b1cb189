"""Hair of the head: which strands grow, and where."""

import dataclasses

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.appearance import HAIR_STYLES, Hair
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import SyntheticPerson
from anifacegan.data.synthetic.strands.head_hair import ScalpHair, grow_scalp_hair
from anifacegan.data.synthetic.strands.strands import CASTING, Strands
from anifacegan.geometry.normals import vertex_normals_numba


@pytest.fixture(scope="module")
def scalp(renderer: SyntheticRenderer) -> ScalpHair:
    return renderer.strand_plan.scalp


def dressed(renderer: SyntheticRenderer, person: SyntheticPerson, **shares: float) -> Hair:
    hair = renderer.prior.appearance(person.z_id, person.z_noise).hair
    weights = np.float32([shares.get(name, 0.0) for name in HAIR_STYLES])
    return dataclasses.replace(hair, style_weights=weights, length=1.0, curl=0.0)


def grown(renderer: SyntheticRenderer, scalp: ScalpHair, hair: Hair) -> list[Strands]:
    mean = renderer.head.mean.reshape(-1, 3)
    return grow_scalp_hair(scalp, hair, mean, vertex_normals_numba(mean, renderer.head.triangles))


def test_a_tail_of_almost_nothing_does_not_grow(
    renderer: SyntheticRenderer, person: SyntheticPerson, scalp: ScalpHair
) -> None:
    kinds = [
        grown(renderer, scalp, dressed(renderer, person, crop=1 - share, tied=share))
        for share in (0.0, 1e-6, 0.5, 1.0)
    ]
    assert [len(strands) for strands in kinds] == [2, 2, 3, 3]  # long strands, short hairs, and the tail
    half, full = kinds[2][2], kinds[3][2]
    assert 0.4 * len(full.number) < len(half.number) < 0.75 * len(full.number)
    assert set(half.number) < set(full.number) and full.cover.min() == 1


@pytest.mark.parametrize("style", ["crop", "long_waves", "fringe"])
def test_strands_behind_the_background_plane_grow_only_to_cast_shadows(
    renderer: SyntheticRenderer, person: SyntheticPerson, scalp: ScalpHair, style: str
) -> None:
    plane = 0.0
    hair = dressed(renderer, person, **{style: 1.0})
    everywhere = grown(renderer, dataclasses.replace(scalp, plane_z=-99.0), hair)[0]
    before = grown(renderer, dataclasses.replace(scalp, plane_z=plane), hair)[0]
    both, rows, _ = np.intersect1d(everywhere.number, before.number, return_indices=True)
    assert np.array_equal(both, before.number) and len(both) < 0.95 * len(everywhere.number)
    assert np.array_equal(everywhere.points[rows], before.points)
    assert np.array_equal(everywhere.cover[rows], before.cover)
    assert np.array_equal(everywhere.casting, before.casting)
    left_out = np.setdiff1d(np.arange(len(everywhere.number)), rows)
    assert everywhere.points[left_out, :, 2].max() < plane
    assert (everywhere.number[left_out] % CASTING != 0).all()


def test_short_hairs_behind_the_plane_do_not_grow(
    renderer: SyntheticRenderer, person: SyntheticPerson, scalp: ScalpHair
) -> None:
    hair = dressed(renderer, person, buzz=1.0)
    everywhere = grown(renderer, dataclasses.replace(scalp, plane_z=-99.0), hair)[1]
    before = grown(renderer, dataclasses.replace(scalp, plane_z=0.0), hair)[1]
    left_out = ~np.isin(everywhere.number, before.number)
    assert 0.1 < left_out.mean() < 0.9
    assert everywhere.points[left_out, :, 2].max() < 0.0
