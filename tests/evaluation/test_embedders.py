"""Face embedders: where a face is cut out, and networks from files."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anifacegan.evaluation.embedders import ARCFACE_POINTS, CROP, Embedder, aligned, load_embedder
from anifacegan.face_model.morphable import ALIGNMENT_LANDMARKS
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import load_face_regressor
from tests.fixtures.judged_model import write_judge
from tests.fixtures.one_line import assert_one_line

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> FaceRegressor:
    return load_face_regressor(write_judge(tmp_path_factory.mktemp("judge")))[0]


class Corner(nn.Module):
    """Says the mean of the upper left quarter, colour by colour."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :56, :56].mean(dim=(2, 3))


def landmarks(points: Tensor) -> Tensor:
    """68 landmarks of which only the aligned ones count: (B, 5, 2) -> (B, 68, 2)."""
    made = torch.zeros(len(points), 68, 2, dtype=points.dtype)
    for point, where in enumerate(ALIGNMENT_LANDMARKS):
        made[:, list(where)] = points[:, point : point + 1]
    return made


def ramps(size: int) -> Tensor:
    """An image that says where it is: red is x, green is y, in widths."""
    axis = torch.linspace(0, 1, size, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, 0 * x])[None]


@pytest.mark.parametrize("size", [90, 256])
def test_a_crop_has_the_landmarks_in_arcfaces_places(size: int) -> None:
    """Turned by 20 degrees, of another size and elsewhere: exact on an image that is linear in place."""
    template = torch.tensor(ARCFACE_POINTS, dtype=torch.float64)
    turn = np.radians(20)
    rotation = torch.tensor([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = 0.45 * size / CROP * template @ rotation + torch.tensor([0.2, 0.1]) * size
    crop = aligned(ramps(size), landmarks(points[None]))
    assert crop.shape == (1, 3, CROP, CROP)
    for (u, v), (x, y) in zip(ARCFACE_POINTS, points.tolist(), strict=True):
        left, top = int(u), int(v)
        corner = crop[0, :2, top : top + 2, left : left + 2]  # bilinear between the four pixels about it
        row = corner[..., 0] * (1 - (u - left)) + corner[..., 1] * (u - left)
        found = row[:, 0] * (1 - (v - top)) + row[:, 1] * (v - top)
        assert found.tolist() == pytest.approx([x / (size - 1), y / (size - 1)], abs=1e-9)


def test_the_judge_embeds_by_its_identity_coefficients(judge: FaceRegressor) -> None:
    embedder = load_embedder("judge", judge, "some judge", CPU)
    rgb = torch.rand(2, 3, 16, 16)
    assert "some judge" in embedder.name
    with torch.no_grad():
        assert torch.equal(embedder.embed(rgb, torch.zeros(2, 68, 2)), judge(rgb).id)


def check_corner(embedder: Embedder, name: str) -> None:
    template = torch.tensor(ARCFACE_POINTS)
    rgb = torch.rand(3, 3, CROP, CROP)
    places = landmarks(template.expand(3, 5, 2))
    expected = (2 * aligned(rgb, places) - 1)[:, :, :56, :56].mean(dim=(2, 3))
    torch.testing.assert_close(embedder.embed(rgb, places), expected, atol=1e-5, rtol=1e-4)
    assert name in embedder.name and "sha256" in embedder.name


def test_a_torchscript_network_sees_the_crop_in_plus_minus_one(tmp_path: Path, judge: FaceRegressor) -> None:
    torch.jit.script(Corner()).save(str(tmp_path / "corner.pt"))
    check_corner(
        load_embedder(str(tmp_path / "corner.pt"), judge, "", CPU, trust_torchscript=True), "corner.pt"
    )


def test_torchscript_is_not_even_opened_unless_it_is_trusted(judge: FaceRegressor, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(b"anything")
    assert_one_line(
        lambda: load_embedder(str(tmp_path / "evil.pt"), judge, "", CPU),
        "evil.pt: is TorchScript",
        "--trust_torchscript",
    )


def onnx_package() -> ModuleType:
    """To write networks with; the package itself only runs them."""
    reason = "needs the pins of requirements-dev.txt for the extra 'eval'"
    pytest.importorskip("onnxruntime", reason=reason)
    return pytest.importorskip("onnx", reason=reason)


def test_an_onnx_network_does_as_well(tmp_path: Path, judge: FaceRegressor) -> None:
    onnx = onnx_package()
    helper = onnx.helper
    kind = onnx.TensorProto
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "axes"], ["quarter"]),
        helper.make_node("GlobalAveragePool", ["quarter"], ["y"]),
    ]
    constants = [
        helper.make_tensor(name, kind.INT64, [2], values)
        for name, values in (("start", [0, 0]), ("end", [56, 56]), ("axes", [2, 3]))
    ]
    graph = helper.make_graph(
        nodes,
        "corner",
        [helper.make_tensor_value_info("x", kind.FLOAT, [1, 3, CROP, CROP])],
        [helper.make_tensor_value_info("y", kind.FLOAT, [1, 3, 1, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "corner.onnx"))
    check_corner(load_embedder(str(tmp_path / "corner.onnx"), judge, "", CPU), "corner.onnx")


def test_dlib_embeds_by_the_given_landmarks(judge: FaceRegressor) -> None:
    """Another crop is another vector; the same one twice is not."""
    for name in ("dlib", "face_recognition_models"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    embedder = load_embedder("dlib", judge, "", CPU)
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    grid = torch.stack(torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="xy"), dim=-1)
    places = (15 + 3 * grid.reshape(1, 100, 2)[:, :68]).repeat(2, 1, 1)
    same = embedder.embed(rgb, places)
    places[1] += 8
    moved = embedder.embed(rgb, places)
    assert same.shape == (2, 128) and torch.equal(same[0], same[1]) and torch.equal(same[0], moved[0])
    assert (moved[0] - moved[1]).norm() > 0.01


class Flattened(nn.Module):
    """One vector for all faces together."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten()


class Twice(nn.Module):
    """Two answers."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Nothing(nn.Module):
    """Numbers that are none."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) / 0.0


class Grey(nn.Module):
    """Accepts images of one colour channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Flattened(), "gives (75264,) of torch.float32 for two faces"),
        (Twice(), "gives a tuple"),
        (Nothing(), "gives numbers that are not finite"),
        (Grey(), "cannot be run on crops of faces"),
    ],
)
def test_a_network_of_another_kind_is_refused_when_it_is_loaded(
    network: nn.Module, said: str, tmp_path: Path, judge: FaceRegressor
) -> None:
    torch.jit.script(network).save(str(tmp_path / "other.pt"))
    assert_one_line(
        lambda: load_embedder(str(tmp_path / "other.pt"), judge, "", CPU, trust_torchscript=True),
        "other.pt: " + said,
        "a vector for each face",
    )


@pytest.mark.parametrize("inputs", [1, 2])
def test_an_onnx_network_of_another_kind_is_refused_as_well(
    inputs: int, tmp_path: Path, judge: FaceRegressor
) -> None:
    """One that takes other crops, and one that takes two of them."""
    onnx = onnx_package()
    kind, names = onnx.TensorProto.FLOAT, ["x", "y"][:inputs]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", [names[0], names[-1]], ["z"])],
        "other",
        [onnx.helper.make_tensor_value_info(name, kind, [1, 3, 64, 64]) for name in names],
        [onnx.helper.make_tensor_value_info("z", kind, [1, 3, 64, 64])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "other.onnx"))
    said = "cannot be run on crops of faces" if inputs == 1 else "takes 2 inputs (x, y)"
    assert_one_line(
        lambda: load_embedder(str(tmp_path / "other.onnx"), judge, "", CPU), "other.onnx: " + said
    )


def test_embedders_that_are_not_there_are_named(
    tmp_path: Path, judge: FaceRegressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Embedder:
        return load_embedder(name, judge, "", CPU, trust_torchscript=True)

    assert_one_line(lambda: load("arcface"), "embedder is arcface", "judge, dlib", ".onnx")
    assert_one_line(lambda: load(str(tmp_path / "none.onnx")), "none.onnx: no such file")
    for name in ("broken.pt", "broken.onnx"):
        (tmp_path / name).write_text("no network")
    assert_one_line(lambda: load(str(tmp_path / "broken.pt")), "broken.pt: not a TorchScript network")
    if importlib.util.find_spec("onnxruntime") is not None:
        assert_one_line(lambda: load(str(tmp_path / "broken.onnx")), "broken.onnx: not a readable ONNX")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line(lambda: load(str(tmp_path / "broken.onnx")), "onnxruntime", "pip install")
    assert_one_line(lambda: load("dlib"), "dlib and face_recognition_models: not installed", "pip install")
