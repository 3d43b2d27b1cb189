"""Face embedders: networks that turn a face image and its 68 landmarks into an identity vector.

    judge        identity coefficients that the judge estimates (the face regressor that is only used for evaluation);
                 needs no download, but is not a face recognition network
    dlib         dlib's 128-dimensional face embedding (extra demo-check), trained on data for research only
    FILE.onnx    a face recognition network of the user with ArcFace's input (extra eval)
    FILE.pt      a TorchScript network with the same input, if the user trusts it: it can do what a program can

The landmarks are not detected in the image but computed from the coefficients and camera that the image was generated
from, so every image can be embedded and all embedders see the same crop. Networks from files get 112 x 112 pixels in
[-1, 1]. The crop is rotated, scaled and shifted so that eyes, nose tip and mouth corners fit best (least squares) to
the positions that ArcFace was trained with.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anifacegan.evaluation.face_detector import dlib_models
from anifacegan.face_model.morphable import alignment_weights
from anifacegan.geometry.resampling import read_pixels
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.runtime.errors import InputError, first_line, last_line
from anifacegan.runtime.files import file_sha256
from anifacegan.runtime.paths import user_path

CROP = 112
"""Height and width of an aligned face crop, pixels."""
ARCFACE_POINTS = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Places (x, y) in the crop, pixels with integers at pixel centres, of left eye, right eye, nose tip, left and right
mouth corner as the viewer sees them (Deng et al. 2019, InsightFace)."""


@dataclass(frozen=True)
class Embedder:
    """A face embedding network with its name."""

    name: str
    """Name for reports; it includes the SHA-256 of a network from a file."""
    embed: Callable[[Tensor, Tensor], Tensor]
    """Maps (B, 3, H, H) images in [0, 1] and their (B, 68, 2) landmarks (pixels, integers at pixel centres) to
    (B, feature) identity vectors."""


def load_embedder(
    name: str, judge: FaceRegressor, judge_name: str, device: torch.device, *, trust_torchscript: bool = False
) -> Embedder:
    """Load a network that turns face images into identity vectors.

    Args:
        name: ``judge``, ``dlib``, or the path of an .onnx or .pt file.
        judge: face regressor, whose identity coefficients are the vectors if ``name`` is ``judge``.
        judge_name: name of the face regressor for reports.
        device: where the network computes.
        trust_torchscript: run a .pt file, which can do what a program can.

    Raises:
        InputError: unknown name, missing package, a .pt file that is not trusted, or a file that is not a suitable
            network.
    """
    if name == "judge":
        return Embedder(f"identity coefficients of judge {judge_name}", lambda rgb, landmarks: judge(rgb).id)
    if name == "dlib":
        return Embedder("dlib's face recognition ResNet", _dlib_network())
    path = user_path(name)
    loaders = {".onnx": _onnx_network, ".pt": _torchscript_network}
    if path.suffix not in loaders:
        raise InputError(f"embedder is {name}, expected judge, dlib, or a file .onnx or .pt")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a network that recognises faces")
    if path.suffix == ".pt" and not trust_torchscript:
        raise InputError(
            f"{path}: is TorchScript, which can do what a program can, expected an .onnx, or --trust_torchscript true "
            "if you trust who made it"
        )
    network = loaders[path.suffix](path, device)
    _check_output(path, network, device)
    title = f"{path.name} (sha256 {file_sha256(path)[:12]})"
    return Embedder(title, lambda rgb, landmarks: network(2 * aligned(rgb, landmarks) - 1).flatten(1))


@torch.no_grad()
def _check_output(path: Path, network: Callable[[Tensor], Any], device: torch.device) -> None:
    """Refuse a network that does not turn two crops into two vectors of finite numbers."""
    expected = f"expected a network that turns (batch, 3, {CROP}, {CROP}) into a vector for each face"
    crops = torch.linspace(-1, 1, 2 * 3 * CROP * CROP, device=device).reshape(2, 3, CROP, CROP)
    try:
        vectors = network(crops)
    except Exception as error:  # whatever the user's network, or what runs it, raises
        raise InputError(
            f"{path}: cannot be run on crops of faces ({last_line(error)}), {expected}"
        ) from None
    if not isinstance(vectors, Tensor):
        raise InputError(f"{path}: gives a {type(vectors).__name__}, {expected}")
    if not vectors.is_floating_point() or vectors.ndim < 2 or len(vectors) != 2 or not vectors.numel():
        raise InputError(f"{path}: gives {tuple(vectors.shape)} of {vectors.dtype} for two faces, {expected}")
    if not vectors.isfinite().all():
        raise InputError(f"{path}: gives numbers that are not finite, {expected}")


def aligned(
    rgb: Float[Tensor, "batch 3 size size"], landmarks_px: Float[Tensor, "batch 68 2"]
) -> Float[Tensor, "batch 3 112 112"]:
    """Crop faces so that eyes, nose tip and mouth corners lie where ArcFace's training images have them.

    The map from image to crop is the similarity that fits these five points best (least squares); every pixel of the
    crop averages 2 x 2 samples. ``landmarks_px`` are 68 landmarks in pixels of ``rgb``, integers at pixel centres.
    """
    points = alignment_weights().to(landmarks_px) @ landmarks_px  # (B, 5, 2)
    crop_points = points.new_tensor(ARCFACE_POINTS)  # (5, 2)
    axis = (torch.arange(2 * CROP, dtype=rgb.dtype, device=rgb.device) + 0.5) / 2 - 0.5
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    similarity = _similarity(crop_points, points)  # (B, 4): a, b, x, y
    a, b, x, y = similarity.to(rgb).T[:, :, None, None]
    px = torch.stack([a * u - b * v + x, b * u + a * v + y], dim=-1)  # (B, 224, 224, 2)
    return functional.avg_pool2d(read_pixels(rgb, px, "border"), 2)


def _similarity(
    source: Float[Tensor, "point 2"], target: Float[Tensor, "batch point 2"]
) -> Float[Tensor, "batch 4"]:
    """Fit the map (u, v) -> (a u - b v + x, b u + a v + y) from source to target points, and return (a, b, x, y)."""
    u, v = source.unbind(-1)
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    rows = torch.cat(
        [torch.stack([u, -v, one, zero], dim=-1), torch.stack([v, u, zero, one], dim=-1)]
    )  # (10, 4)
    values = torch.cat([target[..., 0], target[..., 1]], dim=-1)  # (B, 10)
    return values @ torch.linalg.pinv(rows).T


def _torchscript_network(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:  # PyTorch raises many kinds for a broken file
        raise InputError(f"{path}: not a TorchScript network ({first_line(error)})") from None


def _onnx_network(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(
            f"{path}: onnxruntime is not installed, needed for an .onnx: pip install onnxruntime"
        )
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own
        raise InputError(f"{path}: not a readable ONNX network ({first_line(error)})") from None
    inputs = [entry.name for entry in session.get_inputs()]
    if len(inputs) != 1:
        raise InputError(
            f"{path}: takes {len(inputs)} inputs ({', '.join(inputs)}), expected one, the crop of a face"
        )
    name = inputs[0]

    def network(crops: Tensor) -> Tensor:
        rows = [
            session.run(None, {name: crop[None].cpu().numpy()})[0] for crop in crops
        ]  # many take one at a time
        return torch.from_numpy(np.concatenate(rows)).to(device)

    return network


def _dlib_network() -> Callable[[Tensor, Tensor], Tensor]:
    folder = dlib_models()
    import dlib

    network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def embed(rgb: Tensor, landmarks_px: Tensor) -> Tensor:
        pixels = (255 * rgb.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        rows = [
            _dlib_vector(network, image, points)
            for image, points in zip(pixels, landmarks_px.cpu(), strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).to(rgb)

    return embed


def _dlib_vector(network: Any, image: np.ndarray, points: Float[Tensor, "68 2"]) -> np.ndarray:
    import dlib

    landmarks = dlib.points([dlib.point(int(round(x)), int(round(y))) for x, y in points.tolist()])
    box = dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1)
    face = dlib.full_object_detection(box, landmarks)
    return np.array(network.compute_face_descriptor(np.ascontiguousarray(image), face))
