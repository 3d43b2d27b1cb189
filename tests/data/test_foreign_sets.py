"""Data sets as other people and programs leave them: names, archives, kinds of images, camera labels."""

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from anifacegan.data.camera_labels import camera_labels, label_pose
from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.file_sources import ZipFiles
from anifacegan.data.posed_images import RealImages
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL, write_coefficients
from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.runtime.errors import InputError
from tests.data.test_dataset import SIZE, mirroring, random_face
from tests.fixtures.one_line import assert_one_line


def write_item(folder: Path, name: str, level: int = 0, mat: str | None = ".mat", **options: object) -> Path:
    """An image of one colour with its coefficients, whose ``exp`` begins with the same number."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE, SIZE), (level, level, level)).save(path, **options)
    if mat is not None:
        face = random_face(np.random.default_rng(level), face_model=OPEN_FACE_MODEL)
        face.exp[0] = level
        write_coefficients(path.with_suffix(mat), face)
    return path


def opened(path: Path, **options: object) -> FaceDataset:
    poses_suffice = bool(options.pop("poses_suffice", False))
    return FaceDataset(DataConfig(path, SIZE, **options), poses_suffice=poses_suffice)


def levels(data: FaceDataset) -> list[int]:
    """Levels of all images; each is checked to be with its own coefficients."""
    images = data.load_images()[:, 0, 0, 0].tolist()
    assert images == [round(float(data.face(k).exp[0])) for k in range(len(data))]
    return images


# ------------------------------------------------------------------ names
def test_numbers_in_names_are_in_numeric_order_with_or_without_zeros(tmp_path: Path) -> None:
    for k in (10, 2, 1, 9, 100):
        write_item(tmp_path, f"frame{k}.png", k)
    write_item(tmp_path, "frame0005.png", 5)
    assert levels(opened(tmp_path)) == [1, 2, 5, 9, 10, 100]


def test_names_with_odd_characters_are_read(tmp_path: Path) -> None:
    names = ["with space", "ünï 脸", "com,ma", "[brackets]", "per%cent", "-dash", "two.dots.png", "e\u0301"]
    for k, name in enumerate(names):
        write_item(tmp_path, f"{name}.png", k)
    assert sorted(levels(opened(tmp_path))) == list(range(len(names)))


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".JPEG", ".webp", ".bmp", ".tif", ".TIFF"])
def test_every_kind_of_image_is_counted_in_lower_and_upper_case(suffix: str, tmp_path: Path) -> None:
    write_item(tmp_path, "a.png", 10)
    write_item(tmp_path, f"b{suffix}", 20, ".MAT", **({"lossless": True} if suffix == ".webp" else {}))
    assert levels(opened(tmp_path)) == [10, 20]


def test_an_image_that_is_not_read_is_named_where_it_has_a_mat(tmp_path: Path) -> None:
    write_item(tmp_path, "a.png", 10)
    write_item(tmp_path, "b.gif", 20)
    write_item(tmp_path, "preview.gif", 30, mat=None)
    assert_one_line(lambda: opened(tmp_path), "b.gif: images of this kind are not read, expected .png")
    assert levels(opened(tmp_path, skip_bad=True)) == [10]


# ------------------------------------------------------------------ archives
def zipped(path: Path, folder: Path, rename: object = str, **others: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.writestr(rename(file.relative_to(folder).as_posix()), file.read_bytes())
        for name, content in others.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_mac_is_read_without_what_finder_adds(tmp_path: Path) -> None:
    for k in range(3):
        write_item(tmp_path / "set", f"{k}.png", k)
    twin = b"\0\5\x16\7\0\2\0\0Mac OS X"
    others = {f"__MACOSX/faces/._{k}{ending}": twin for k in range(3) for ending in (".png", ".mat")}
    others |= {"__MACOSX/faces/9.png": twin, "faces/.DS_Store": b"\0", "faces/.git/x.png": twin}
    path = zipped(tmp_path / "set.zip", tmp_path / "set", lambda name: f"faces/{name}", **others)
    assert levels(opened(path)) == [0, 1, 2]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert levels(opened(tmp_path / "unpacked")) == [0, 1, 2]


def test_a_zip_of_windows_has_folders_after_backslashes(tmp_path: Path) -> None:
    for k in range(2):
        for folder in ("a", "b"):
            write_item(tmp_path / "set" / folder, f"{k}.png", k + 2 * (folder == "b"))
    path = zipped(tmp_path / "set.zip", tmp_path / "set", lambda name: f"faces/{name}".replace("/", "\\"))
    data = opened(path)
    assert levels(data) == [0, 1, 2, 3] and data.names[0] == "faces/a/0.png"


def test_an_entry_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    write_item(tmp_path / "set", "0.png")
    path = zipped(tmp_path / "set.zip", tmp_path / "set")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2")  # the last entry of the directory: its uncompressed size
    content[at + 24 : at + 28] = struct.pack("<I", 2**31)
    path.write_bytes(bytes(content))
    assert_one_line(lambda: opened(path), "set.zip/0.png: has 2147483648 bytes, expected at most")


def test_an_entry_with_an_absolute_name_is_named_as_the_archive_s(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("/tmp/0.png", b"no image")
    assert ZipFiles(tmp_path / "set.zip").label("/tmp/0.png") == tmp_path / "set.zip" / "tmp" / "0.png"


def test_a_name_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    write_item(tmp_path / "set", "0.png")
    path = zipped(tmp_path / "set.zip", tmp_path / "set")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("0.png", png_of(SIZE, SIZE))
    assert_one_line(lambda: opened(path), "set.zip: holds '0.png' twice, expected each name once")


# ------------------------------------------------------------------ bad images
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_named_as_an_image_and_is_no_file_is_not_overlooked(make: Callable, tmp_path: Path) -> None:
    for name in ("0.png", "1.png"):
        write_item(tmp_path, name)
    (tmp_path / "0.png").unlink()
    make(tmp_path / "0.png")
    assert_one_line(lambda: opened(tmp_path).load_images(), "0.png: is a ", "expected")


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")
def test_a_decompression_bomb_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    write_item(tmp_path, "a.png", 10)
    write_item(tmp_path, "b.png").write_bytes(png_of(60_000, 60_000))
    line = "b.png: not a readable image (its header announces more than 178956970 pixels)"
    assert_one_line(lambda: opened(tmp_path), line)
    data = opened(tmp_path, skip_bad=True)
    assert levels(data) == [10] and line in data.bad[0]


def test_another_size_names_the_option_that_sets_it(tmp_path: Path) -> None:
    path = write_item(tmp_path, "a.png")
    path.write_bytes(png_of(SIZE + 2, SIZE))
    for skip_bad in (False, True):
        assert_one_line(
            lambda skip_bad=skip_bad: opened(tmp_path, skip_bad=skip_bad), "expected 16 x 16 (--data.size)"
        )


def test_images_alone_say_that_they_need_coefficients(tmp_path: Path) -> None:
    for k in range(3):
        write_item(tmp_path, f"{k}.png", mat=None)
    for skip_bad in (False, True):
        assert_one_line(
            lambda skip_bad=skip_bad: opened(tmp_path, skip_bad=skip_bad),
            "3 images and no .mat file, expected one",
        )


# ------------------------------------------------------------------ coefficients
def test_deep3dfacerecon_s_files_among_the_open_model_s_are_refused(tmp_path: Path) -> None:
    write_item(tmp_path, "a.png")
    write_item(tmp_path, "b.png", mat=None)
    write_coefficients(tmp_path / "b.mat", random_face(np.random.default_rng(0), ours=False, face_model=None))
    assert_one_line(lambda: opened(tmp_path), f"several face models ({OPEN_FACE_MODEL}, {BFM})")
    (tmp_path / "a.png").unlink()
    assert_one_line(
        lambda: opened(tmp_path).require_face_model(OPEN_FACE_MODEL), f"belongs to face model '{BFM}'"
    )


def test_a_set_of_257_columns_has_no_landmarks(tmp_path: Path) -> None:
    joint = np.random.default_rng(0).normal(size=(1, 257)).astype(np.float32)
    write_item(tmp_path, "a.png", mat=None)
    scipy.io.savemat(tmp_path / "a.mat", {"coeff": joint})
    data = opened(tmp_path, pitch_offset=0.1)
    table = data.load_coefficients()
    assert np.array_equal(table.exp[0], joint[0, 80:144]) and data.face_model_name == BFM
    assert np.allclose(data.poses, joint[:, 224:226] - [0.1, 0]) and table.lm68 is None
    assert_one_line(table.landmarks, "expected the key 'lm68'")
    assert mirroring().mirrored(data.face(0)).lm68 is None


# ------------------------------------------------------------------ EG3D's camera labels
def label(*, yaw: float, pitch: float) -> list[float]:
    """EG3D's label of the generator's camera, which looks at the origin; that of a camera has y up, its own y down."""
    origin, axes = orbit_rotation(yaw=torch.tensor([float(yaw)]), pitch=torch.tensor([float(pitch)]))
    pose = torch.eye(4)
    pose[:3, :3] = axes[0] @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    pose[:3, 3] = 2.7 * origin[0]
    return [*pose.flatten().tolist(), 4.26, 0, 0.5, 0, 4.26, 0.5, 0, 0, 1]


def write_labelled(folder: Path, labels: dict[str, object]) -> Path:
    for k, name in enumerate(labels):
        write_item(folder, name, k, mat=None)
    (folder / "dataset.json").write_text(json.dumps({"labels": list(labels.items())}))
    return folder


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (0.4, 0), (0, 0.3), (-0.7, 0.2), (0.3, -0.5)])
def test_a_label_is_the_pose_of_its_camera(yaw: float, pitch: float) -> None:
    assert np.allclose(label_pose(label(yaw=yaw, pitch=pitch), 0.0, Path("a.png")), [pitch, yaw], atol=1e-6)
    assert np.allclose(
        label_pose(label(yaw=yaw, pitch=pitch), 0.1, Path("a.png")), [pitch - 0.1, yaw], atol=1e-6
    )


def test_eg3d_s_own_frontal_label_is_frontal() -> None:
    frontal = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1, 4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]
    assert np.abs(label_pose(frontal, 0.0, Path("a.png"))).max() < 1e-6


def test_a_label_agrees_with_the_angles_it_was_made_from() -> None:
    """A label holds the rotation of Deep3DFaceRecon's angles (Rz Ry Rx)^T, with y and z turned over."""
    x, y = 0.2, 0.05
    about_x = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    pose = np.eye(4)
    pose[:3, :3] = (about_y @ about_x).T @ np.diag([1, -1, -1])
    assert np.allclose(
        label_pose([*pose.ravel().tolist(), *[0] * 9], 0.1, Path("a")), [x - 0.1, y], atol=2e-3
    )


def test_labels_are_poses_where_poses_suffice(tmp_path: Path) -> None:
    poses = [(0.1, 0.2), (-0.3, 0.0), (0.0, -0.1)]
    names = ["00000/img1.png", "00000/img2.png", "00001/img10.png"]
    labels = {name: label(yaw=y, pitch=p) for name, (p, y) in zip(names, poses, strict=True)}
    write_labelled(tmp_path, labels)
    data = opened(tmp_path, poses_suffice=True)
    assert data.names == names and np.allclose(data.poses, poses, atol=1e-6)
    assert data[1].face is None and np.allclose(data[1].pose, poses[1], atol=1e-6)
    drawn = RealImages(data, held_out=0).draw([torch.Generator().manual_seed(k) for k in range(8)])
    shown = ((drawn.image[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert np.allclose(drawn.pose, np.array(poses)[shown], atol=1e-6) and len(set(shown)) > 1
    assert_one_line(data.load_coefficients, "img1.png: has a camera pose only, expected a .mat")
    assert_one_line(lambda: opened(tmp_path), "3 images and no .mat file", "the option 'real' of training")


def test_a_mat_file_goes_before_a_label_and_labels_fill_the_gaps(tmp_path: Path) -> None:
    write_labelled(tmp_path, {"a.png": label(yaw=0.5, pitch=0), "b.png": label(yaw=0.5, pitch=0)})
    write_item(tmp_path, "a.png", 3)
    data = opened(tmp_path, poses_suffice=True)
    assert np.array_equal(data.poses[0], data.face(0).pose) and np.allclose(
        data.poses[1], [0, 0.5], atol=1e-6
    )
    assert_one_line(lambda: opened(tmp_path), "b.png: no .mat of that name")


BAD_LABELS = {
    "no rotation": [2.0, *label(yaw=0, pitch=0)[1:]],
    "mirrored": [-1.0, *label(yaw=0, pitch=0)[1:]],
    "columns": np.array([*np.array(label(yaw=0.3, pitch=0)[:16]).reshape(4, 4).T.ravel(), *[0] * 9]).tolist(),
    "nan": [math.nan, *label(yaw=0, pitch=0)[1:]],
    "text": ["x", *label(yaw=0, pitch=0)[1:]],
    "list": [[1], *label(yaw=0, pitch=0)[1:]],
}


@pytest.mark.parametrize("numbers", BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_a_bad_label_names_its_image(numbers: list, tmp_path: Path) -> None:
    write_labelled(tmp_path, {"a.png": label(yaw=0, pitch=0), "b.png": numbers})
    assert_one_line(
        lambda: opened(tmp_path, poses_suffice=True), "b.png: its label in dataset.json", "expected a 4 x 4"
    )
    assert len(opened(tmp_path, poses_suffice=True, skip_bad=True)) == 1


def to_camera(numbers: list[float]) -> np.ndarray:
    """The inverse of a label's matrix."""
    return np.linalg.inv(np.array(numbers[:16]).reshape(4, 4))


def of_opengl(numbers: list[float]) -> np.ndarray:
    """A label's matrix for a camera with y up and z backward."""
    return np.array(numbers[:16]).reshape(4, 4) @ np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.mark.parametrize(("change", "angle"), [(to_camera, 29), (of_opengl, 180)])
def test_a_label_of_another_convention_is_refused(
    change: Callable[[list[float]], np.ndarray], angle: int
) -> None:
    """Its camera would look past the head, into the scene's other half."""
    numbers = [*change(label(yaw=0.5, pitch=0)).ravel().tolist(), *[0] * 9]
    with pytest.raises(
        InputError, match=rf"a\.png: the camera .* looks {angle} degrees past the origin, expected"
    ):
        label_pose(numbers, 0.0, Path("a.png"))


@pytest.mark.parametrize(
    "content", ["null", "[1]", '{"labels": null}', '{"labels": [["a.png", 3], ["b.png", [1, 2]]]}']
)
def test_other_labels_are_left_out(content: str) -> None:
    assert camera_labels(content.encode(), Path("dataset.json"), PurePosixPath(".")) == {}
