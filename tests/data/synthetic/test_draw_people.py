"""scripts/draw_people.py: mixtures of people, and the images that it writes."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import sample_item
from anifacegan.runtime.image_files import read_image
from tests.fixtures.loaded_scripts import load_script


def test_mixtures_lead_from_one_person_to_the_other(renderer: SyntheticRenderer) -> None:
    script = load_script("draw_people")
    one, other = (sample_item(renderer.head.parts, 1, index)[0] for index in (0, 1))
    start, middle, end = (script.between(one, other, share) for share in (0.0, 0.5, 1.0))
    for mixed, person in ((start, one), (end, other)):
        np.testing.assert_allclose(mixed.z_id, person.z_id, atol=1e-6)
        np.testing.assert_allclose(mixed.z_noise, person.z_noise, atol=1e-6)
    np.testing.assert_allclose(middle.z_id, (one.z_id + other.z_id) / 2, atol=1e-6)
    np.testing.assert_allclose(
        middle.z_noise, (one.z_noise + other.z_noise) / np.sqrt(2), rtol=1e-5, atol=1e-6
    )
    assert not (start.z_exp.any() or middle.z_exp.any() or end.z_exp.any())


def test_it_writes_both_sheets(
    renderer: SyntheticRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("draw_people")
    small = {"SHOWN": 4, "COLUMNS": 2, "STEPS": 3, "PAIRS": 1, "RENDERED": 32, "SIZE": 16}
    for name, value in small.items():
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(script, "load_synthetic_renderer", lambda: renderer)
    monkeypatch.setattr("sys.argv", ["draw_people.py", "--out", str(tmp_path)])
    script.main()
    people, between = (read_image(tmp_path / name) for name in ("people.jpg", "between.jpg"))
    assert people.shape == (2 * 18 + 2, 2 * 18 + 2, 3) and between.shape == (16 + 4, 3 * 18 + 2, 3)
    assert people[2:18, 2:18].std() > 10
    monkeypatch.setattr("sys.argv", ["draw_people.py", "--out", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="2"):
        script.main()
