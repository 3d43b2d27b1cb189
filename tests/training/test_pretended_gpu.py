"""Whole training steps on a pretended GPU: what it would refuse, where it would wait, how many kernels it starts."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from anifacegan.data.config import AugmentationConfig
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.losses.drawn_points import MeshPoints
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.regressor_checkpoints import DEEP3D
from anifacegan.runtime.torch_internals import FakeTensorMode, without_numbers
from anifacegan.training.config import Split
from anifacegan.training.cost_counter import CostCounter
from anifacegan.training.image_imitation import ImageLandmarks
from anifacegan.training.mesh_imitation import ImitationBatch, imitation_losses
from anifacegan.training.patch_gradients import ImageRenderer
from anifacegan.training.plan import LandmarksOfAnyModel, plan
from anifacegan.training.regressor.config import ReconstructionSchedule, ReconstructionWeights
from anifacegan.training.regressor.data import FaceImages
from anifacegan.training.regressor.loop import new_state as regressor_state
from anifacegan.training.regressor.loop import train as train_regressor
from tests.fixtures.pretended_gpu import GPU, pretended_gpu
from tests.fixtures.pretended_iterations import configured, gradients_and_moments, pretended_run
from tests.fixtures.tiny_head import tiny_model

KERNELS, WAITS, COPIES = 8000, 10, 10
"""Most that an iteration at the paper's sizes may take, four images at a time."""
IMAGES = {
    "discriminator_real",
    "discriminator_fake",
    "discriminator_r1",
    "generator_fake",
    "landmarks",
    "geometry",
}
POINTS = {"deformation", "mouth_gap", "roughness", "minimal", "neutral"}
PIXELS = {"colour", "silhouette", "free_space"}


# ------------------------------------------------------------------------------------------------------- the pretence
def test_operands_in_both_memories_are_refused() -> None:
    with pretended_gpu():
        on_gpu = torch.zeros(3, device=GPU)
        assert (on_gpu + torch.tensor(2.0)).device == GPU  # a single number is an argument of the kernel
        with pytest.raises(RuntimeError, match="add: expected all tensors to be on the same device"):
            on_gpu + torch.ones(3)
        with pytest.raises(RuntimeError, match="mm: expected all tensors"):
            torch.ones(2, 3) @ torch.zeros(3, 2, device=GPU)


def test_a_cpus_random_generator_is_refused_and_so_is_numpy() -> None:
    with pretended_gpu():
        with pytest.raises(RuntimeError, match="for generator but found 'cpu'"):
            torch.rand(3, generator=torch.Generator(), device=GPU)
        with pytest.raises((TypeError, RuntimeError)):
            torch.zeros(3, device=GPU).numpy()


def test_copies_to_the_gpu_are_counted_wherever_they_hide() -> None:
    with pretended_gpu() as gpu:
        on_gpu, counted = torch.zeros(4, device=GPU), []
        for copy in (
            lambda: torch.ones(4).to(GPU),
            lambda: on_gpu.copy_(torch.ones(4)),
            lambda: on_gpu.new_tensor([1.0, 2.0]),
            lambda: torch.tensor([1.0], device=GPU),
            lambda: on_gpu[torch.tensor([0, 2])],
        ):
            before = sum(gpu.copies.values())
            copy()
            counted.append(sum(gpu.copies.values()) - before)
        assert counted == [1] * 5
        assert not gpu.waits


def test_waits_for_the_gpu_are_counted_wherever_they_hide() -> None:
    with pretended_gpu() as gpu:
        on_gpu, counted = torch.zeros(4, device=GPU), []
        for wait in (
            on_gpu.sum().item,
            on_gpu.tolist,
            on_gpu.cpu,
            on_gpu.nonzero,
            lambda: on_gpu[on_gpu > 0],
            lambda: bool(on_gpu.isfinite().all()),
            lambda: torch.linalg.inv(torch.zeros(2, 2, device=GPU)),
        ):
            before = sum(gpu.waits.values())
            wait()
            counted.append(sum(gpu.waits.values()) - before)
        assert counted == [1] * 7
        assert not gpu.copies


def test_half_precision_is_that_of_autocast_and_gradients_pass_it() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 3, device=GPU))
    with pretended_gpu():
        with torch.autocast("cpu", torch.bfloat16):
            product = torch.zeros(2, 3, device=GPU) @ weight
        assert product.dtype == torch.bfloat16
        product.float().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


# ---------------------------------------------------------------------------------------------------------- iterations
@pytest.fixture(scope="module")
def photographs() -> tuple[dict, object, list]:
    """Losses, counts and moments of an adversarial iteration of ffhq128.yaml, of four images at a time."""
    config = configured("ffhq128", "--adversarial.batch", "4")
    with pretended_run(config) as (run, gpu):
        losses = run.step(config.schedule.paired_steps)
        return losses, gpu, gradients_and_moments(run)


def test_an_adversarial_iteration_on_photographs_has_every_loss_and_float32_moments(
    photographs: tuple,
) -> None:
    losses, _, moments = photographs
    assert losses.keys() >= IMAGES | POINTS
    assert all(value.device == GPU and value.dtype == torch.float32 for value in losses.values())
    assert moments and all(value.device == GPU and value.dtype == torch.float32 for value in moments)


def test_an_adversarial_iteration_is_few_kernels_waits_and_copies(photographs: tuple) -> None:
    _, gpu, _ = photographs
    assert 2000 < gpu.kernels <= KERNELS
    assert sum(gpu.waits.values()) <= WAITS, gpu.waits
    assert sum(gpu.copies.values()) <= COPIES, gpu.copies
    assert set(gpu.waits) and all("optim.py" in place for place in gpu.waits)


def test_the_plan_counts_the_operations_of_the_iteration_that_training_takes() -> None:
    """Within a thousandth: the plan leaves out the priors, from which faces are drawn."""
    few = (
        "--adversarial.batch",
        "1",
        "--adversarial.deformation_steps",
        "1",
        "--schedule.warm_up_deform",
        "0",
    )
    config = configured("ffhq128", *few)
    with pretended_run(config) as (run, _), CostCounter() as counter:
        run.step(config.schedule.paired_steps)
    (planned,) = (stage.cost for stage in plan(config, 1) if stage.stage == "adversarial")
    assert planned.flops == pytest.approx(counter.flops, rel=1e-3)


def test_hidden_layers_are_half_precision_and_coordinates_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured("ffhq128", "--adversarial.batch", "4")
    types = set()
    with pretended_run(config) as (run, _):
        of_layers = [run.state.generator.template.layers, run.state.generator.deformation.layers]
        from anifacegan.models.siren import BoundFiLMLayer

        def seen(layer: BoundFiLMLayer, x: torch.Tensor) -> torch.Tensor:
            result = plain(layer, x)
            types.add((x.shape[-1] == 3, x.dtype, result.dtype))
            return result

        plain = BoundFiLMLayer.__call__
        monkeypatch.setattr(BoundFiLMLayer, "__call__", seen)
        run.step(0)
        assert of_layers
    assert (True, torch.float32, torch.float32) in types and (False, torch.bfloat16, torch.bfloat16) in types


@pytest.mark.parametrize("stage", range(3), ids=["warm_up_deform", "near_surface", "complete"])
def test_the_stages_on_paired_images(stage: int) -> None:
    options = ["--schedule.warm_up_deform", "1", "--schedule.near_surface", "1", "--schedule.complete", "1"]
    config = configured("demo", *options, "--schedule.precision", "bfloat16", "--schedule.prior_faces", "0")
    with pretended_run(config, paired=True) as (run, gpu):
        losses = run.step(stage)
        moments = gradients_and_moments(run)
    assert losses.keys() >= (POINTS | PIXELS if stage else POINTS)
    assert moments and all(value.device == GPU and value.dtype == torch.float32 for value in moments)
    assert sum(gpu.waits.values()) <= WAITS and sum(gpu.copies.values()) <= COPIES, (gpu.waits, gpu.copies)


def test_an_iteration_that_paired_images_anchor() -> None:
    options = ["--adversarial.skip_invisible", "false", "--schedule.precision", "bfloat16"]
    options += [
        "--schedule.prior_faces",
        "0",
        "--adversarial.discriminator_warmup",
        "0",
        "--adversarial.batch",
        "1",
    ]
    config = configured("small64", *options, "--adversarial.image_steps", "1")
    with pretended_run(config, paired=True) as (run, gpu):
        losses = run.step(config.schedule.paired_steps)
    assert losses.keys() >= IMAGES | POINTS | PIXELS
    assert sum(gpu.waits.values()) <= WAITS and sum(gpu.copies.values()) <= COPIES, (gpu.waits, gpu.copies)


def test_dual_discrimination_draws_its_meshes_without_a_wait() -> None:
    config = configured("ffhq128_dual", "--adversarial.batch", "4", "--weights.landmarks", "0")
    with pretended_run(config) as (run, gpu):
        losses = run.step(config.schedule.paired_steps)
    assert losses.keys() >= (IMAGES | POINTS) - {"landmarks"}
    assert gpu.kernels <= KERNELS
    assert sum(gpu.waits.values()) <= WAITS and sum(gpu.copies.values()) <= COPIES, (gpu.waits, gpu.copies)


# ------------------------------------------------------------------------------------------- PyTorch's own fake tensors
@torch.no_grad()
def test_forward_passes_on_fake_cuda_tensors_stay_on_the_gpu() -> None:
    """A second opinion on devices, by PyTorch's rules for CUDA; backward would ask for a driver."""
    config = configured("ffhq128")
    cuda = torch.device("cuda", 0)
    with FakeTensorMode(allow_non_fake_inputs=True):

        def made(make: Callable[[], nn.Module]) -> nn.Module:
            return without_numbers(make).to_empty(device=cuda)

        generator = made(lambda: Generator(config.generator))
        network = made(lambda: Discriminator(config.discriminator))
        landmarks = made(lambda: ImageLandmarks(FaceRegressor(DEEP3D), LandmarksOfAnyModel()))
        latents = Latents(*(torch.empty(2, dim, device=cuda) for dim in (80, 64, 80)))
        views = PosedLatents(latents, torch.empty(2, 2, device=cuda))
        renderer = ImageRenderer(
            generator.condition, config.discriminator.size, 12.0, Split(images=1), view_dependent=True
        )
        images = renderer.draw(views)
        outputs = [images, network(images).logit, landmarks.in_images(images), landmarks.of_latents(views)]
        points = MeshPoints(*(torch.empty(2, 8, *end, device=cuda) for end in ((3,), (3,), ())))
        few = torch.empty(2, 2, 3, device=cuda)
        batch = ImitationBatch(latents.z_id, latents.z_exp, latents.z_exp, points, points, few, few)
        outputs += imitation_losses(generator, batch, config.weights).values()
        with pytest.raises(RuntimeError, match="device"):  # it does look
            network(images + torch.ones(3, 128, 128))
    assert len(outputs) == 4 + len(POINTS) and {value.device for value in outputs} == {cuda}


def test_a_step_of_the_face_regressor_runs_on_the_gpu() -> None:
    """With every augmentation; some read an image back, as JPEG does."""
    size, count = 32, 4
    schedule = ReconstructionSchedule(steps=1, batch=count, precision="bfloat16")
    images = FaceImages(
        torch.zeros(count, 3, size, size, dtype=torch.uint8),
        torch.zeros(count, 257),
        torch.zeros(count, 68, 2),
    )
    with pretended_gpu() as gpu:
        landmarks = FaceLandmarks(tiny_model(), "generator").to(GPU)
        config = FaceRegressorConfig(backbone="plain", size=size, channels=(8, 8))
        network = without_numbers(lambda: FaceRegressor(config))
        state = regressor_state(network, schedule)
        found: list[Mapping[str, float]] = []
        weights = ReconstructionWeights()
        train_regressor(
            state,
            images,
            landmarks,
            AugmentationConfig(),
            schedule,
            weights,
            lambda _, values: found.append(values),
        )
        moments = [
            value for of in state.optimizer.state.values() for value in (of["exp_avg"], of["exp_avg_sq"])
        ]
        assert moments and all(value.device == GPU and value.dtype == torch.float32 for value in moments)
        assert state.step == 1 and gpu.kernels > 100
        gpu.clear()
        assert set(found[0]) >= {"id", "exp", "angle", "landmarks"} and found[0]["id"] == 1.0
        assert sum(gpu.waits.values()) == 1  # all losses in one go
