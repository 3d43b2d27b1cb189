"""Training of the face reconstruction network: its losses, its steps, its report."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from anifacegan.data.config import NO_AUGMENTATION, AugmentationConfig
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction, correlation
from anifacegan.geometry.cameras import euler_from_rotation, orbit_rotation
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.training.regressor.config import ReconstructionSchedule, ReconstructionWeights
from anifacegan.training.regressor.data import FaceBatch, FaceImages, augmented_batch, jittered_rows
from anifacegan.training.regressor.loop import (
    ReconstructionState,
    focal_length,
    learning_rate_factor,
    new_state,
    reconstruction_losses,
    train,
    update,
)
from anifacegan.training.regressor.report import errors, held_out_report, reconstructed
from tests.fixtures.tiny_head import tiny_model

SIZE, COUNT = 24, 8
LANDMARKS = FaceLandmarks(tiny_model(), "generator")
FOCAL = focal_length(LANDMARKS, SIZE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = COUNT) -> FaceImages:
    """Coefficients and their landmarks; the images are random, which can be learnt by heart."""
    rng = generator(1)
    pose = 0.3 * torch.randn(count, 2, generator=rng)
    rows = 0.5 * torch.randn(count, 257, generator=rng)
    rows[:, 224:227] = euler_from_rotation(orbit_rotation(yaw=pose[:, 1], pitch=pose[:, 0])[1])
    rows[:, 254:] = 0
    images = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=rng)
    return FaceImages(images, rows, LANDMARKS.pixels(Reconstruction.from_rows(rows), SIZE))


def fresh(schedule: ReconstructionSchedule, data: FaceImages) -> ReconstructionState:
    network = FaceRegressor(FaceRegressorConfig(size=SIZE, channels=(16, 32, 64)))
    network.initialize(generator())
    network.set_statistics(data.rows)
    return new_state(network, schedule)


def truth(data: FaceImages) -> FaceBatch:
    return augmented_batch(data, torch.arange(len(data)), NO_AUGMENTATION, FOCAL, generator())


# -------------------------------------------------------------------------------------------------------------- losses
def test_exact_coefficients_cost_nothing() -> None:
    data = images()
    network = fresh(ReconstructionSchedule(), data).network
    batch = truth(data)
    exact = (data.rows - network.mean) / network.scale
    losses = reconstruction_losses(network, LANDMARKS, batch, exact, ReconstructionWeights())
    assert losses.keys() == {"id", "exp", "tex", "angle", "gamma", "trans", "landmarks"}
    assert all(float(value) < 1e-4 for value in losses.values()), losses


def test_a_term_is_its_weight_times_the_mean_squared_error_in_deviations() -> None:
    data = images()
    network = fresh(ReconstructionSchedule(), data).network
    off = (data.rows - network.mean) / network.scale
    off[:, 80:144] += 0.5
    weights = ReconstructionWeights(exp=3.0)
    losses = reconstruction_losses(network, LANDMARKS, truth(data), off, weights)
    assert float(losses["exp"]) == pytest.approx(3 * 0.25, rel=1e-4)
    assert float(losses["id"]) < 1e-6
    none = reconstruction_losses(
        network, LANDMARKS, truth(data), off, ReconstructionWeights(exp=0.0, landmarks=0.0)
    )
    assert float(none["exp"]) == 0 == float(none["landmarks"])


def test_coefficients_count_by_their_effect_on_the_mesh_where_asked_for() -> None:
    """The same error costs the more, the more its coefficient moves the mesh: to the power that is given."""
    data = images()
    network = fresh(ReconstructionSchedule(), data).network
    exact = (data.rows - network.mean) / network.scale
    moved = tiny_model().exp_basis.square().sum(dim=(0, 1)).sqrt()
    strongest, weakest = int(moved.argmax()), int(moved.argmin())

    def cost(entry: int, exponent: float) -> float:
        off = exact.clone()
        off[:, 80 + entry] += 0.5
        weights = ReconstructionWeights(effect_exponent=exponent)
        return float(reconstruction_losses(network, LANDMARKS, truth(data), off, weights)["exp"])

    assert (
        cost(strongest, 0.0)
        == pytest.approx(0.25 / 64, rel=1e-4)
        == pytest.approx(cost(weakest, 0.0), rel=1e-3)
    )
    ratio = float(moved[strongest] / moved[weakest])
    assert ratio > 1.3
    for exponent in (0.5, 1.0):
        assert cost(strongest, exponent) / cost(weakest, exponent) == pytest.approx(ratio**exponent, rel=1e-2)


def test_the_landmark_term_is_in_pixels_at_128_whatever_the_size() -> None:
    data = images()
    network = fresh(ReconstructionSchedule(), data).network
    batch = dataclasses.replace(
        truth(data), landmarks_px=data.landmarks_px + 23 / 127
    )  # 1 px at 128, in x and y
    exact = (data.rows - network.mean) / network.scale
    losses = reconstruction_losses(network, LANDMARKS, batch, exact, ReconstructionWeights(landmarks=0.1))
    assert float(losses["landmarks"]) == pytest.approx(0.1, rel=1e-3)


# -------------------------------------------------------------------------------------------------------------- steps
def test_eight_images_are_learnt_by_heart() -> None:
    """Coefficients and landmarks: the sum of all terms falls tenfold."""
    data, history = images(), []
    schedule = ReconstructionSchedule(steps=60, batch=COUNT, lr=3e-3, warm_up=5)
    state = fresh(schedule, data)
    train(
        state,
        data,
        LANDMARKS,
        NO_AUGMENTATION,
        schedule,
        ReconstructionWeights(),
        lambda _, terms: history.append(terms),
    )
    first, last = (np.mean([sum(terms.values()) for terms in part]) for part in (history[:3], history[-3:]))
    assert last < first / 10
    assert np.mean([terms["landmarks"] for terms in history[-3:]]) < history[0]["landmarks"] / 5


def test_a_step_is_drawn_from_seed_and_step() -> None:
    """Two steps at once, or one and then another, are the same; another seed is not."""
    data, schedule = images(), ReconstructionSchedule(steps=3, batch=4, seed=5)

    def trained(parts: tuple[int, ...], seed: int) -> dict[str, torch.Tensor]:
        state = fresh(schedule, data)
        for steps in parts:
            part = dataclasses.replace(schedule, seed=seed, steps=steps, warm_up=100)
            train(
                state, data, LANDMARKS, AugmentationConfig(), part, ReconstructionWeights(), lambda *_: None
            )
        return state.network.state_dict()

    whole, halves, other = trained((3,), 5), trained((1, 3), 5), trained((3,), 6)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert not torch.equal(whole["backbone.head.weight"], other["backbone.head.weight"])


def test_bfloat16_is_near_float32() -> None:
    data = images()

    def first_losses(precision: str) -> dict[str, float]:
        schedule, found = ReconstructionSchedule(steps=2, batch=8, precision=precision), []
        train(
            fresh(schedule, data), data, LANDMARKS, NO_AUGMENTATION, schedule, ReconstructionWeights(),
            lambda _, terms: found.append(terms),
        )  # fmt: skip
        return found[-1]

    single, half = first_losses("float32"), first_losses("bfloat16")
    assert single != half
    assert all(half[name] == pytest.approx(value, rel=0.05, abs=0.02) for name, value in single.items())


def test_a_state_that_is_moved_on_its_way_ends_the_same() -> None:
    data, schedule = images(), ReconstructionSchedule(steps=3, batch=4)

    def trained(report: Callable[[ReconstructionState, dict[str, float]], None]) -> dict[str, torch.Tensor]:
        state = fresh(schedule, data)
        train(state, data, LANDMARKS, AugmentationConfig(), schedule, ReconstructionWeights(), report)
        return state.network.state_dict()

    still, moved = trained(lambda *_: None), trained(lambda state, _: state.to("cpu"))
    assert all(torch.equal(still[name], moved[name]) for name in still)


def test_a_step_computes_where_its_network_is_and_draws_on_the_cpu() -> None:
    """On the device without numbers, which takes no tensor of another one. JPEG would want numbers."""
    data, meta, sources = images(), torch.device("meta"), (generator(3), generator(3))
    config = AugmentationConfig(1.0, gain_share=1.0, blur_share=1.0, noise_share=1.0, jpeg_share=0.0)
    here, there = (
        augmented_batch(data, torch.arange(COUNT), config, FOCAL, source, device)
        for source, device in zip(sources, (torch.device("cpu"), meta), strict=True)
    )
    assert torch.equal(*(source.get_state() for source in sources))
    assert there.images.shape == here.images.shape and there.images.device == meta
    network = fresh(ReconstructionSchedule(), data).network.to(meta)
    landmarks = FaceLandmarks(tiny_model(), "generator").to(meta)
    standardised = network.standardised(there.images)
    losses = reconstruction_losses(network, landmarks, there, standardised, ReconstructionWeights())
    assert {value.device for value in losses.values()} == {meta}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_batch_is_the_same_on_a_gpu() -> None:
    """The same draws, the same augmentations; JPEG may see another rounding, which moves it by a few steps of 255."""
    data, always = (
        images(),
        AugmentationConfig(1.0, gain_share=1.0, blur_share=1.0, noise_share=1.0, jpeg_share=0.0),
    )
    for config, most in ((always, 1e-5), (dataclasses.replace(always, jpeg_share=1.0), 0.1)):
        sources = generator(3), generator(3)
        here, there = (
            augmented_batch(data, torch.arange(COUNT), config, FOCAL, source, torch.device(device))
            for source, device in zip(sources, ("cpu", "cuda"), strict=True)
        )
        assert there.images.is_cuda and there.landmarks_px.is_cuda
        assert (here.images - there.images.cpu()).abs().max() < most
        assert torch.equal(here.face.rows(), there.face.rows().cpu())
        assert torch.equal(here.landmarks_px, there.landmarks_px.cpu())
        assert torch.equal(*(source.get_state() for source in sources))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_losses_of_a_step_and_the_report_are_the_same_on_a_gpu() -> None:
    data, schedule, found = images(20), ReconstructionSchedule(steps=1, batch=8), []
    for device in ("cpu", "cuda"):
        state, landmarks = fresh(schedule, data), FaceLandmarks(tiny_model(), "generator").to(device)
        state.to(device)
        report = held_out_report(state.network, landmarks, data, AugmentationConfig(jpeg_share=0.0))
        train(state, data, landmarks, AugmentationConfig(jpeg_share=0.0), schedule, ReconstructionWeights(),
              lambda _, terms, to=report: to.update(terms))  # fmt: skip
        found.append(report)
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-4)


def test_a_loss_that_is_not_finite_names_its_term_and_changes_nothing() -> None:
    data, schedule = images(), ReconstructionSchedule()
    state = fresh(schedule, data)
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    terms = {"exp": torch.tensor(1.0), "angle": torch.tensor(math.nan)}
    with pytest.raises(FloatingPointError, match="step 0: angle not finite"):
        update(state, terms, schedule)
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())


def test_the_learning_rate_rises_in_a_line_and_falls_to_a_hundredth() -> None:
    schedule = ReconstructionSchedule(steps=1000, warm_up=100)
    shares = [learning_rate_factor(step, schedule) for step in range(1000)]
    assert shares[:2] == pytest.approx([0.01, 0.02]) and shares[99] == pytest.approx(1.0)
    assert shares[549] == pytest.approx(0.505) and shares[-1] == pytest.approx(0.01)


def test_statistics_are_those_of_what_training_sees() -> None:
    """The face itself never moves; the crop does, and trans gets the spread of it."""
    data = images(400)
    rows = jittered_rows(data, AugmentationConfig(), FOCAL, generator())
    assert torch.equal(rows[:, :224], data.rows[:, :224])
    assert float(data.rows[:, 254:].abs().max()) == 0 and bool((rows[:, 254:].std(dim=0) > 0.01).all())


@pytest.mark.parametrize("name, value", [("steps", -1), ("batch", 1), ("warm_up", 0)])
def test_impossible_schedules_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}, expected at least"):
        ReconstructionSchedule(**{name: value})


# ------------------------------------------------------------------------------------------------------------- report
def test_the_truth_has_no_errors() -> None:
    batch = truth(images(30))
    found = errors(batch.face, batch, LANDMARKS)
    assert found["yaw_deg"] < 1e-4 and found["pitch_deg"] < 1e-4 and found["landmarks_px"] < 1e-3
    assert found["exp_correlation"] == pytest.approx(1, abs=1e-5) == found["exp_all"]


def test_errors_are_in_degrees_and_in_pixels_at_128() -> None:
    pose = 0.2 * torch.randn(30, 2, generator=generator(2))
    batch = truth(images(30))

    def turned(*, yaw_deg: float, pitch_deg: float) -> Reconstruction:
        angles = pose + torch.deg2rad(torch.tensor([pitch_deg, yaw_deg]))
        rotation = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])[1]
        return dataclasses.replace(batch.face, angle=euler_from_rotation(rotation))

    batch = dataclasses.replace(batch, face=turned(yaw_deg=0.0, pitch_deg=0.0))
    batch = dataclasses.replace(batch, landmarks_px=LANDMARKS.pixels(batch.face, SIZE))
    found = errors(turned(yaw_deg=-2.0, pitch_deg=3.0), batch, LANDMARKS)
    assert (found["pitch_deg"], found["yaw_deg"]) == pytest.approx((3, 2), abs=1e-3)
    moved = dataclasses.replace(batch, landmarks_px=batch.landmarks_px + torch.tensor([3.0, 4.0]) * 23 / 127)
    assert errors(batch.face, moved, LANDMARKS)["landmarks_px"] == pytest.approx(5, abs=1e-3)


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 3)).astype(np.float32)
    b = (a + rng.normal(size=(50, 3))).astype(np.float32)
    b[:, 2] = 1.0
    found = correlation(torch.from_numpy(a), torch.from_numpy(b))
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(2)] + [0.0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_first_ten_expressions_are_reported_apart() -> None:
    batch = truth(images(30))
    exp = batch.face.exp.clone()
    exp[:, 9] *= -1
    exp[:, 10:] = 0
    found = errors(dataclasses.replace(batch.face, exp=exp), batch, LANDMARKS)
    assert found["exp_correlation"] == pytest.approx(0.8, abs=1e-5)
    assert found["exp_lowest"] == pytest.approx(-1, abs=1e-5)
    assert found["exp_all"] == pytest.approx(8 / 64, abs=1e-5)


def test_a_report_leaves_the_network_as_it_was_and_is_the_same_again() -> None:
    data = images(70)  # more than a batch
    network = fresh(ReconstructionSchedule(), data).network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, again = (held_out_report(network, LANDMARKS, data, AugmentationConfig()) for _ in range(2))
    assert first == again and network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    names = {
        "yaw_deg",
        "pitch_deg",
        "landmarks_px",
        "exp_correlation",
        "exp_lowest",
        "exp_all",
        "id_correlation",
    }
    assert first.keys() == names | {f"augmented_{name}" for name in names}
    assert first["landmarks_px"] != first["augmented_landmarks_px"]


def test_augmented_images_are_judged_by_their_own_coefficients() -> None:
    data = images(10)
    network = fresh(ReconstructionSchedule(), data).network
    config = AugmentationConfig(jitter_share=1.0, shift=0.2)
    _, batch = reconstructed(network, data, config, FOCAL)
    found = errors(batch.face, batch, LANDMARKS)
    assert found["landmarks_px"] < 0.2  # what a zoom leaves
    assert float((batch.landmarks_px - data.landmarks_px).norm(dim=-1).mean()) > 0.5
