import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.description import FORMAT_VERSION
from anifacegan.data.listed_checksums import CHECKSUMS_FILE, CHECKSUMS_TITLE
from anifacegan.data.mirroring import MIRRORED_LANDMARKS, ODD_IN_X, Mirroring
from anifacegan.data.unfinished_sets import UNFINISHED_FILE
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients
from anifacegan.geometry.spherical_harmonics import spherical_harmonics
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import file_sha256
from tests.fixtures.one_line import assert_one_line

SIZE = 16
COUNT = 5


def random_face(
    rng: np.random.Generator, ours: bool = True, face_model: str | None = "open"
) -> FaceCoefficients:
    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return FaceCoefficients(
        id=draw(80),
        exp=draw(64),
        tex=draw(80),
        angle=draw(3),
        gamma=draw(27),
        trans=draw(3),
        lm68=100 + 20 * draw(68, 2),
        pose=draw(2) if ours else None,
        noise=draw(80) if ours else None,
        face_model=face_model,
    )


def write_set(folder: Path, ours: bool = True, suffix: str = ".png", count: int = COUNT) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06d}{suffix}")
        write_coefficients(folder / f"{i:06d}.mat", random_face(rng, ours, "open" if ours else None))
    (folder / "dataset.json").write_text("{}")
    return folder


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def config(path: Path, **changes: object) -> DataConfig:
    return dataclasses.replace(DataConfig(path, SIZE), **changes)


def mirroring(name: str = "open") -> Mirroring:
    rng = np.random.default_rng(1)
    flips = [np.diag(rng.choice([-1.0, 1.0], n)).astype(np.float32) for n in (80, 64, 80)]
    return Mirroring(name, *flips)


def test_items_are_in_the_order_of_their_names_with_their_coefficients(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    data = FaceDataset(config(folder))
    assert len(data) == COUNT and data.face_model == "open"
    item = data[3]
    assert np.array_equal(item.image.numpy(), np.asarray(Image.open(folder / "000003.png")))
    assert item.face.pose is not None and np.array_equal(item.pose, item.face.pose)


def test_a_zip_is_the_folder_it_was_made_of(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    plain, packed = FaceDataset(config(folder)), FaceDataset(config(zipped(folder)))
    assert plain.names == packed.names
    assert torch.equal(plain.load_images(), packed.load_images())
    for field in dataclasses.fields(plain.load_coefficients()):
        a, b = (getattr(data.load_coefficients(), field.name) for data in (plain, packed))
        assert torch.equal(a, b)


def test_ffhq_style_files_take_their_pose_from_the_angle_less_the_offset(tmp_path: Path) -> None:
    data = FaceDataset(config(write_set(tmp_path / "set", ours=False, suffix=".jpg"), pitch_offset=0.1))
    item = data[2]
    assert np.allclose(item.pose, [item.face.angle[0] - 0.1, item.face.angle[1]])
    table = data.load_coefficients()
    assert np.allclose(table.pose[2], item.pose) and table.noise is None and data.face_model is None


def test_coefficients_in_another_folder_are_found_by_their_file_name(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "images" / "00000").mkdir(parents=True)
    (folder / "params").mkdir()
    for file in folder.glob("0*"):
        file.rename(folder / ("params" if file.suffix == ".mat" else "images/00000") / file.name)
    assert len(FaceDataset(config(folder))) == COUNT


def test_a_file_name_that_occurs_twice_is_matched_by_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_set(root / "a", count=2)
    write_set(root / "b", count=2)
    other = random_face(np.random.default_rng(9))
    write_coefficients(root / "b" / "000001.mat", other)
    data = FaceDataset(config(root))
    assert data.names == ["a/000000.png", "a/000001.png", "b/000000.png", "b/000001.png"]
    assert np.array_equal(data[3].face.id, other.id) and not np.array_equal(data[1].face.id, other.id)
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(root / "000001.png")
    with pytest.raises(InputError, match="set/000001.png: no .mat"):  # two have this name: neither is taken
        FaceDataset(config(root))


def test_everything_in_memory_is_the_items_one_by_one(tmp_path: Path) -> None:
    data = FaceDataset(config(write_set(tmp_path / "set")))
    images, table = data.load_images(), data.load_coefficients()
    assert images.shape == (COUNT, SIZE, SIZE, 3) and images.dtype == torch.uint8
    for i in range(COUNT):
        item = data[i]
        assert torch.equal(images[i], item.image)
        for name in ("id", "exp", "tex", "gamma", "lm68", "noise"):
            assert np.array_equal(getattr(table, name)[i], getattr(item.face, name))


def break_one(folder: Path, kind: str) -> str:
    """Spoil item 2; returns what the message has to name."""
    image, mat = folder / "000002.png", folder / "000002.mat"
    if kind == "no mat":
        mat.unlink()
        return "000002.png: no .mat"
    if kind == "bad mat":
        mat.write_bytes(b"nothing")
        return "000002.mat: not a readable MATLAB"
    if kind == "degrees":
        face = random_face(np.random.default_rng(2), face_model="open")
        write_coefficients(mat, dataclasses.replace(face, pose=np.array([2.0, -20.0], np.float32)))
        return "000002.mat: pitch, yaw are 2, -20, expected radians"
    if kind == "no image":
        image.write_bytes(b"nothing")
        return "000002.png: not a readable image"
    Image.fromarray(np.zeros((SIZE, SIZE + 2, 3), np.uint8)).save(image)
    return f"000002.png: {SIZE + 2} x {SIZE} pixels, expected {SIZE} x {SIZE}"


@pytest.mark.parametrize("pack", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("kind", ["no mat", "bad mat", "degrees", "no image", "size"])
def test_a_bad_file_is_named_or_left_out_on_request(tmp_path: Path, kind: str, pack: bool) -> None:
    folder = write_set(tmp_path / "set")
    expected = break_one(folder, kind)
    path = zipped(folder) if pack else folder
    with pytest.raises(InputError) as caught:
        FaceDataset(config(path))
    assert expected in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    data = FaceDataset(config(path, skip_bad=True))
    assert len(data) == COUNT - 1 and len(data.bad) == 1 and expected in data.bad[0]
    assert "000002.png" not in data.names and len(data.load_images()) == COUNT - 1


def test_several_bad_files_are_counted(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    for i in (1, 3, 4):
        (folder / f"{i:06d}.mat").unlink()
    with pytest.raises(InputError, match=r"000001\.png: no \.mat of that name \(and 2 more bad files"):
        FaceDataset(config(folder))


def test_a_truncated_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    whole = (folder / "000001.png").read_bytes()
    (folder / "000001.png").write_bytes(whole[: len(whole) // 2])
    data = FaceDataset(config(folder))  # the header is whole
    with pytest.raises(InputError, match="000001.png: not a readable image"):
        data.load_images()
    with pytest.raises(InputError, match="000001.png: not a readable image"):
        data[1]
    assert len(FaceDataset(config(folder, skip_bad=True))) == COUNT - 1


def test_two_face_models_in_one_set_are_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    write_coefficients(folder / "000000.mat", random_face(np.random.default_rng(0), face_model="bfm09"))
    with pytest.raises(InputError, match="several face models \\(bfm09, open\\)"):
        FaceDataset(config(folder))


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("not a zip")
    for name, message in (
        ("empty", "no usable images"),
        ("text.zip", "not a zip"),
        ("gone", "no such data set"),
    ):
        with pytest.raises(InputError, match=message):
            FaceDataset(config(tmp_path / name))


def test_mirroring_is_refused_where_the_face_model_declares_none(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    for declared in (None, mirroring("bfm09")):
        with pytest.raises(InputError, match="face model open does not define how its coefficients mirror"):
            FaceDataset(config(folder, mirror=True), declared)


def test_mirrored_items_are_the_images_turned_over_with_their_pose(tmp_path: Path) -> None:
    data = FaceDataset(config(write_set(tmp_path / "set"), mirror=True), mirroring())
    assert len(data) == 2 * COUNT
    item, mirrored = data[1], data[1 + COUNT]
    assert torch.equal(mirrored.image, item.image.flip(1))
    assert np.allclose(mirrored.pose, item.pose * [1, -1])
    assert torch.equal(data.load_images()[1 + COUNT], mirrored.image)
    table = data.load_coefficients()
    assert np.array_equal(table.id[1 + COUNT], mirrored.face.id) and table.noise is None


def test_mirroring_twice_is_the_face_itself() -> None:
    face = random_face(np.random.default_rng(3))
    restored = mirroring().mirrored(mirroring().mirrored(face))
    for field in dataclasses.fields(face):
        if field.name not in ("noise", "face_model"):
            assert np.allclose(getattr(restored, field.name), getattr(face, field.name), atol=1e-4), (
                field.name
            )
    assert sorted(MIRRORED_LANDMARKS) == list(range(68))
    on_the_midline = [i for i in range(68) if MIRRORED_LANDMARKS[i] == i]
    assert on_the_midline == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]  # chin, nose bridge and tip, lips


def test_mirrored_landmarks_and_light_are_those_of_the_mirrored_face() -> None:
    face = random_face(np.random.default_rng(4))
    turned = mirroring().mirrored(face)
    assert np.allclose(
        turned.lm68[36], [223 - face.lm68[45, 0], face.lm68[45, 1]]
    )  # outer corners of the eyes
    assert np.allclose(turned.lm68[48], [223 - face.lm68[54, 0], face.lm68[54, 1]])  # corners of the mouth
    normals = torch.nn.functional.normalize(torch.randn(20, 3), dim=-1)
    over = normals * torch.tensor([-1.0, 1.0, 1.0])
    light, mirrored_light = (torch.from_numpy(f.gamma).reshape(3, 9) for f in (face, turned))
    assert torch.allclose(
        spherical_harmonics(normals) @ light.T, spherical_harmonics(over) @ mirrored_light.T, atol=1e-4
    )
    assert len(ODD_IN_X) == 3


def test_a_data_set_from_a_zip_can_be_sent_to_another_process(tmp_path: Path) -> None:
    data = FaceDataset(config(zipped(write_set(tmp_path / "set"))))
    data[0]
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[4].image, data[4].image)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_synthetic_data_set_of_an_older_format_is_refused_by_name(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In format 1, y of lm68 was up. The line has the command that makes the data set again."""
    monkeypatch.chdir(tmp_path)  # lines of more than 300 characters are cut, and test folders have long names
    folder = write_set(Path("my set"))
    old = {"format": 1, "seed": 3, "size": SIZE, "count": COUNT, "face_model": "anifacegan-open-3"}
    (folder / "dataset.json").write_text(json.dumps(old))
    path = zipped(folder) if kind == "zip" else folder
    assert_one_line(
        lambda: FaceDataset(config(path)),
        str(path / "dataset.json"),
        "format 1, expected 4",
        f"anifacegan dataset --out '{folder}' --count 5 --size 16 --seed 3" + " --zip" * (kind == "zip"),
    )
    (folder / "dataset.json").write_text(json.dumps(old | {"format": FORMAT_VERSION}))
    assert len(FaceDataset(config(folder))) == COUNT


@pytest.mark.parametrize("kind", ["folder", "zip", "in a folder"])
def test_a_synthetic_data_set_that_lacks_images_is_read_and_said_to_be_unfinished(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_set(Path("all/a set") if kind == "in a folder" else Path("a set"))
    facts = {"format": FORMAT_VERSION, "seed": 3, "size": SIZE, "face_model": "anifacegan-open-3"}
    (folder / "dataset.json").write_text(json.dumps(facts | {"count": COUNT + 4}))
    path = {"folder": folder, "zip": folder.with_suffix(".zip"), "in a folder": Path("all")}[kind]
    if kind == "zip":
        zipped(folder)
    for _ in range(2):
        assert len(FaceDataset(config(path))) == COUNT
    label, more = (path, " --zip") if kind == "zip" else (folder, "")
    line = f"{label}: unfinished, 5 of 9 images; the others: anifacegan dataset --out '{folder}' --count 9 "
    assert capsys.readouterr().err == f"{line}--size {SIZE} --seed 3{more}\n", "said once"


@pytest.mark.parametrize("count", [COUNT, COUNT - 1, None, "9"])
def test_nothing_is_said_of_a_finished_data_set(
    tmp_path: Path, count: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "set")
    facts = {"format": FORMAT_VERSION, "face_model": "anifacegan-open-3", "count": count}
    (folder / "dataset.json").write_text(json.dumps(facts))
    assert len(FaceDataset(config(folder))) == COUNT
    assert capsys.readouterr().err == ""


def test_of_the_processes_of_a_run_the_first_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_set(tmp_path / "set")
    (folder / UNFINISHED_FILE).write_text('{"photographs": 7}')
    for rank, said in (("1", ""), ("0", f"{folder}: unfinished, 5 images of 7 photographs; ")):
        monkeypatch.setenv("RANK", rank)
        FaceDataset(config(folder))
        assert capsys.readouterr().err[: len(said) or None] == said


def test_a_damaged_note_is_said_to_be_unfinished_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "set")
    (folder / UNFINISHED_FILE).write_text("[")
    assert len(FaceDataset(config(folder))) == COUNT
    assert "set: unfinished, 5 images of an unknown number of photographs; " in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"labels": [["0.png", [0.5]]]}', '{"format": 1}', "[1]"])
def test_other_programs_descriptions_are_not_looked_at(tmp_path: Path, content: str) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "dataset.json").write_text(content)
    assert len(FaceDataset(config(folder))) == COUNT


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "dataset.json").write_text("{")
    assert_one_line(lambda: FaceDataset(config(folder)), f"{folder / 'dataset.json'}: not a JSON file")


def test_hidden_and_foreign_files_are_not_looked_at(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "png")
    (folder / ".000009.png").write_bytes(buffer.getvalue())
    (folder / "notes.txt").write_text("hello")
    assert len(FaceDataset(config(folder))) == COUNT


def test_an_index_out_of_range_is_an_index_error(tmp_path: Path) -> None:
    data = FaceDataset(config(write_set(tmp_path / "set")))
    with pytest.raises(IndexError):
        data[COUNT]
    assert len(list(data)) == COUNT  # iteration ends there


def test_images_that_were_swapped_are_refused_by_the_list_of_checksums(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    items = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".mat"))
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in items]
    (folder / CHECKSUMS_FILE).write_text(CHECKSUMS_TITLE + "".join(lines))
    assert len(FaceDataset(config(folder))) == COUNT
    first, second = folder / "000000.png", folder / "000001.png"
    first.rename(folder / "z")
    second.rename(first)
    (folder / "z").rename(second)
    (folder / "000002.mat").write_bytes((folder / "000003.mat").read_bytes())
    for path in (folder, zipped(folder)):
        assert_one_line(
            lambda path=path: FaceDataset(config(path)),
            "000000.png: is not the file that was made there",
            "and 2 more bad files; --data.skip_bad leaves them out",
        )
    assert FaceDataset(config(folder, skip_bad=True)).names == ["000003.png", "000004.png"]
    (folder / CHECKSUMS_FILE).write_text("# SHA-256 of another program\n" + "".join(lines))
    assert len(FaceDataset(config(folder))) == COUNT


def test_a_message_names_options_that_the_caller_has(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    wrong = dataclasses.replace(config(folder), size=SIZE + 1)
    for option, expected in (
        ("real", f"expected {SIZE + 1} x {SIZE + 1} (--real.size) (--real.skip_bad leaves them out)"),
        (None, f"expected {SIZE + 1} x {SIZE + 1}"),
    ):
        with pytest.raises(InputError) as caught:
            FaceDataset(wrong, option=option)
        assert str(caught.value).endswith(expected)
