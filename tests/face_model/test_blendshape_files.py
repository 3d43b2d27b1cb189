"""Recorded blendshapes of ARKit and MediaPipe as strengths of action units."""

import json
from pathlib import Path

import numpy as np
import pytest

from anifacegan.face_model.blendshape_files import read_blendshapes
from tests.fixtures.one_line import assert_one_line

UNITS = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthLeft", "mouth-open")
LIVE_LINK = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeBlinkRight,JawOpen,MouthLeft,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw\n"
    "17:02:31:09.123,61,0.5,0.25,0,1,0.01,0.02,0.03,0.04\n"
    "17:02:31:10.123,61,0.125,0,0.75,0,0.01,0.02,0.03,0.04\n"
)
EXPECTED = np.array([[0.5, 0.25, 0, 1, 0], [0.125, 0, 0.75, 0, 0]])


def written(folder: Path, name: str, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_of_live_link_face_gives_a_row_for_each_frame(tmp_path: Path) -> None:
    assert np.array_equal(read_blendshapes(written(tmp_path, "take.csv", LIVE_LINK), UNITS), EXPECTED)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + LIVE_LINK,
        LIVE_LINK.replace("\n", "\r\n") + "\r\n",
        LIVE_LINK.replace(",", ";"),
        LIVE_LINK.replace(",", "\t"),
        LIVE_LINK.replace("EyeBlinkLeft", "eyeBlink_L")
        .replace("EyeBlinkRight", " eyeBlink_R")
        .replace("Jaw", "jaw"),
    ],
)
def test_tables_of_other_apps_are_read_as_well(text: str, tmp_path: Path) -> None:
    assert np.array_equal(read_blendshapes(written(tmp_path, "TAKE.CSV", text), UNITS), EXPECTED)


def categories(row: np.ndarray, key: str = "categoryName") -> list[dict]:
    named = [{"index": k + 1, "score": float(v), key: UNITS[k]} for k, v in enumerate(row[:4])]
    return [{"index": 0, "score": 1e-6, key: "_neutral"}, *named]


LAYOUTS = {
    "names": lambda row: dict(zip(UNITS, map(float, row), strict=True)),
    "categories": categories,
    "Python": lambda row: [categories(row, "category_name")],
    "JavaScript": lambda row: {"faceBlendshapes": [{"categories": categories(row), "headIndex": -1}]},
    "with time": lambda row: {
        "timestamp": 0.1,
        "blendshapes": dict(zip(UNITS, map(float, row), strict=True)),
    },
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_mediapipe_results_give_a_row_for_each_frame(layout: object, tmp_path: Path) -> None:
    frames = [layout(row) for row in EXPECTED]
    for content in (frames, {"fps": 25, "frames": frames}):
        assert np.array_equal(read_blendshapes(written(tmp_path, "take.json", content), UNITS), EXPECTED)
    assert np.array_equal(read_blendshapes(written(tmp_path, "one.json", frames[0]), UNITS), EXPECTED[:1])


BAD = {
    "unknown column": ("a.csv", LIVE_LINK.replace("JawOpen", "JawOpne"), "'JawOpne' is no action unit"),
    "no unit": ("a.csv", "Timecode,HeadYaw\n1,0\n", "no column of its first line is an action unit"),
    "twice": ("a.csv", "jawOpen,JawOpen\n0,1\n", "column 'jawOpen' is there twice"),
    "both spellings": ("a.csv", "eyeBlinkLeft,eyeBlink_L\n0,1\n", "column 'eyeBlinkLeft' is there twice"),
    "short row": ("a.csv", LIVE_LINK + "17:02:31:11.123,0\n", "line 4 has 2 cells, expected 10"),
    "no number": ("a.csv", "jawOpen\n0.5\nopen\n", "line 3: 'jawOpen' is 'open', expected a share"),
    "400 digits": ("a.csv", f"jawOpen\n{'9' * 400}\n", "line 2: 'jawOpen' is '9999"),
    "percent": (
        "a.csv",
        "jawOpen\n50\n",
        "line 2: 'jawOpen' is '50', expected a share: 1 is full, -2 to 2 are taken",
    ),
    "too strong": (
        "a.csv",
        "jawOpen\n-2\n2\n2.1\n",
        "line 4: 'jawOpen' is '2.1', expected a share: 1 is full",
    ),
    "nan": ("a.csv", "jawOpen\nnan\n", "line 2: 'jawOpen' is 'nan'"),
    "no rows": ("a.csv", "jawOpen\n", "holds 0 frames"),
    "empty table": ("a.csv", "", "no column of its first line is an action unit"),
    "no JSON": ("a.json", "{", "not a JSON file"),
    "empty list": ("a.json", "[]", "holds 0 frames"),
    "unknown name": ("a.json", [{"jawOpen": 0.5}, {"jawOpne": 0.5}], "'jawOpne' is no action unit"),
    "no names": ("a.json", [{"time": 0.5}], "frame 0: none of its names is an action unit"),
    "no face": ("a.json", [{"faceBlendshapes": []}], "frame 0 has 0 faces, expected one"),
    "two faces": ("a.json", [[categories(EXPECTED[0])] * 2], "frame 0 has 2 faces, expected one"),
    "two sets": (
        "a.json",
        [{"categories": categories(EXPECTED[0]), "blendshapes": {"jawOpen": 1}}],
        "frame 0 has 'blendshapes' and 'categories', expected one set",
    ),
    "frames and a set": (
        "a.json",
        {"frames": [{"jawOpen": 0.5}], "blendshapes": {"jawOpen": 1}},
        "a.json: has 'frames' and 'blendshapes', expected one of them",
    ),
    "number": ("a.json", [3], "frame 0 holds no scores"),
    "text as score": ("a.json", [{"jawOpen": "wide"}], "frame 0: 'jawOpen' is 'wide'"),
    "list as score": ("a.json", [{"jawOpen": [1]}], "frame 0: 'jawOpen' is '[1]'"),
    "huge": ("a.json", '[{"jawOpen": 1e999}]', "frame 0: 'jawOpen' is 'inf'"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_one_line(name: str, content: object, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, content)
    assert_one_line(lambda: read_blendshapes(path, UNITS), f"{path}: ", message)


def test_files_that_are_no_text_or_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\xd8")
    assert_one_line(lambda: read_blendshapes(tmp_path / "a.csv", UNITS), "a.csv: not a readable text file")
    assert_one_line(lambda: read_blendshapes(tmp_path / "b.csv", UNITS), "b.csv: no such file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"jawOpen": 0.0, "jawOpen": 1.0}]', "key 'jawOpen' occurs twice"),
        ('{"jawOpen": 0.5, "JawOpen": 0.9}', "'JawOpen' is the same action unit as 'jawOpen'"),
        (
            '{"eyeBlink_L": 0.5, "eyeBlinkLeft": 0.9}',
            "'eyeBlinkLeft' is the same action unit as 'eyeBlink_L'",
        ),
        ('{"jawOpen": "0_1"}', "expected a share"),
        ('{"jawOpen": true}', "expected a share"),
    ],
)
def test_names_twice_and_numbers_of_python_alone_are_refused(text: str, message: str, tmp_path: Path) -> None:
    assert_one_line(lambda: read_blendshapes(written(tmp_path, "take.json", text), UNITS), message)
    if "0_1" in text:
        table = written(tmp_path, "take.csv", "jawOpen,mouthLeft\n0_1,0\n")
        assert_one_line(lambda: read_blendshapes(table, UNITS), message)


def test_too_many_lines_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    table = written(tmp_path, "take.csv", "jawOpen\n" + "x\n" * 200_002)
    assert_one_line(lambda: read_blendshapes(table, UNITS), "holds 200003 lines, expected 1 to 100000 frames")
