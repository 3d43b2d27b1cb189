"""Results do not depend on what the calling program has set in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anifacegan.models.checkpoints import save_checkpoint
from anifacegan.rendering.model import load_model
from anifacegan.runtime.caller_settings import without_caller_settings
from anifacegan.runtime.errors import InputError
from tests.fixtures.small_models import small_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "model"
    save_checkpoint(path, small_checkpoint())
    return path


def image(folder: Path) -> Tensor:
    return load_model(folder).face(seed=1, expression="jawOpen=0.5").render(yaw=0.1, size=8)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "a default device": default_device,
    "inference mode": torch.inference_mode,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_face_is_the_same_whatever_the_caller_has_set(name: str, folder: Path) -> None:
    expected = image(folder)
    with SETTINGS[name]():
        found = image(folder)
    assert torch.equal(found, expected)


def test_another_default_dtype_is_refused_in_one_line(folder: Path) -> None:
    face = load_model(folder).face(seed=1)
    torch.set_default_dtype(torch.float64)
    try:
        for use in (lambda: load_model(folder), lambda: face.render(size=8)):
            with pytest.raises(InputError, match="default dtype is torch.float64, expected torch.float32"):
                use()
    finally:
        torch.set_default_dtype(torch.float32)


def test_images_and_latents_are_tensors_like_any_other(folder: Path) -> None:
    model = load_model(folder)
    face = model.face(seed=1)
    weight = torch.ones(8, requires_grad=True)
    rendered = face.render(size=8)
    (rendered * weight).sum().backward()
    assert weight.grad is not None
    for tensor in (rendered, *model.person(1), face.latents.z_id, face.latents.z_exp, face.latents.z_noise):
        assert not tensor.is_inference()
        tensor.add_(1.0)


def test_the_block_computes_without_gradients() -> None:
    with without_caller_settings():
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
