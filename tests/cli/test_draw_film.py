"""scripts/draw_film.py: rendered people side by side, forwards and back."""

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from anifacegan.runtime.image_files import encoded_image
from tests.fixtures.loaded_scripts import load_script

draw_film = load_script("draw_film")
FRAMES, SIDE = 7, 12


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """Two people, each a plain colour that grows brighter; the second one is blue."""
    people = []
    for number, colour in enumerate(([30, 0, 0], [0, 0, 30])):
        files = []
        for k in range(FRAMES):
            image = np.full((SIDE, SIDE, 3), np.array(colour) * (k + 1), np.uint8)
            path = tmp_path / f"person{number}_{k}.png"
            path.write_bytes(encoded_image(image, ".png"))
            files.append({"file": path.name})
        people.append({"frames": files})
    (tmp_path / "manifest.json").write_text(json.dumps({"people": people}))
    return tmp_path


def test_the_film_runs_forwards_and_back(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    draw_film.main(["--frames", str(rendered), "--out", str(out), "--height", "6", "--every", "2"])
    film = imageio.imread(out, index=None)
    assert film.shape == (6, 6, 12, 3)  # frames 0 2 4 6 4 2
    assert film[:, 3, 3, 0].tolist() == [30, 90, 150, 210, 150, 90]
    assert film[:, 3, 9, 2].tolist() == [30, 90, 150, 210, 150, 90]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--out", "film.mp4"], "expected a .gif file"),
        (["--most_bytes", "10"], "expected at most 10"),
        (["--frames", "nowhere"], "manifest.json"),
    ],
)
def test_bad_input_gets_one_line(
    rendered: Path, tmp_path: Path, options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--frames": str(rendered), "--out": str(tmp_path / "film.gif"), **dict([options])}
    with pytest.raises(SystemExit) as left:
        draw_film.main([word for pair in given.items() for word in pair])
    assert left.value.code == 2 and reason in capsys.readouterr().err
    assert not list(tmp_path.glob("*.gif"))
