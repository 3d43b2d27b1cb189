"""The tiny head's renderer, and one person, for all tests of synthetic images."""

import dataclasses

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.appearance_prior import AppearancePrior
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_person
from anifacegan.data.synthetic.surface.head import head_geometry
from anifacegan.face_model.morphable import MorphableModel
from tests.fixtures.tiny_head import tiny_model, tiny_parts


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return tiny_model()


@pytest.fixture(scope="session")
def renderer(model: MorphableModel) -> SyntheticRenderer:
    parts = tiny_parts(model)
    head = dataclasses.replace(head_geometry(model, parts), world_offset=np.float32([0.004, 0.02, -0.01]))
    return SyntheticRenderer(head, AppearancePrior.fit(parts, np.eye(80) / 80))


@pytest.fixture(scope="session")
def person(renderer: SyntheticRenderer) -> SyntheticPerson:
    return sample_person(renderer.head.parts, np.random.default_rng(5))
