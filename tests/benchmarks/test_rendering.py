"""The render benchmark on a tiny model: what it measures and reports, not how fast that is."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from anifacegan.avatars.config import BakeConfig
from anifacegan.rendering.model import load_model
from benchmarks import __main__ as benchmark_command
from benchmarks import rendering
from benchmarks.manifold_growth import grown_generator
from benchmarks.rendering import WAYS, Measurement, RenderBenchmark, benchmark, differences, table
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import write_small_model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(autouse=True)
def _small_grown_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def barely(old, rng):
        larger = dataclasses.replace(old.config.template, hidden_dim=12, layers=4)
        return grown_generator(old, rng, dataclasses.replace(old.config, template=larger))

    monkeypatch.setattr(rendering, "grown_generator", barely)
    monkeypatch.setattr(rendering, "BAKE", BakeConfig(texture=32, grid=12))


def requested(small: Path, **changes: object) -> RenderBenchmark:
    return RenderBenchmark(**{"model": small, "sizes": (8, 16), "repetitions": 2, "device": "cpu"} | changes)


@pytest.mark.slow
def test_every_renderer_is_measured_at_every_size_on_both_networks(small: Path) -> None:
    heard: list[Measurement] = []
    found = benchmark(requested(small), heard.append)
    assert found == heard
    assert [(m.networks, m.size, m.way) for m in found] == [
        (networks, size, way) for networks in ("model", "full_size") for size in (8, 16) for way in WAYS
    ]
    for m in found:
        assert m.seconds > 0 and m.peak_memory_mib > 10 and m.device == "cpu"
        assert m.max_error < (1 if m.way in ("antialiased", "baked") else 1 / 255)
        assert m.way != "brute_force" or (m.max_error == 0 and m.psnr_db == pytest.approx(120))


def test_renderers_alternate_on_the_same_views(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def way(name: str, error: float):
        def image(model, face, *, yaw, pitch, size):
            calls.append((name, yaw, size))
            return torch.full((3, size, size), 0.5 + error)

        return image

    monkeypatch.setattr(
        rendering, "WAYS", {"brute_force": way("brute_force", 0.0), "other": way("other", 0.1)}
    )
    config = requested(
        small, ways=("brute_force", "other"), networks=("model",), sizes=(8,), repetitions=3, yaw=(-0.5, 0.5)
    )
    found = benchmark(config)
    views = [-0.5, -0.5, 0.5, -0.5]  # the first is not measured
    assert calls == [(name, yaw, 8) for yaw in views for name in ("brute_force", "other")]
    assert found[1].max_error == pytest.approx(0.1) and found[1].psnr_db == pytest.approx(20, abs=1e-4)


def test_differences_are_of_all_views_together() -> None:
    one = torch.zeros(2, 3, 4, 4)
    other = one.clone()
    other[1, 2, 3, 3] = 0.5
    psnr, largest = differences(other, one)
    assert largest == 0.5 and psnr == pytest.approx(-10 * torch.tensor(0.25 / 96).log10().item())


def test_the_table_has_ratios_to_brute_force_and_the_growth_with_size() -> None:
    def row(size: int, way: str, seconds: float, error: float) -> Measurement:
        return Measurement("cpu", "model", size, way, seconds, 100.0, 50.0, error)

    lines = table(
        [row(64, "brute_force", 2.0, 0.0), row(64, "adaptive", 0.5, 0.001), row(128, "brute_force", 8.0, 0.0)]
    ).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert "| brute_force | 2000     | 1 / 1.00       | 100      | same " in lines[2]
    assert "| adaptive    | 500      | 1 / 4.00       | 100      | 50.0    | 0.255 / 255 |" in lines[3]
    assert lines[6:] == ["cpu, model, brute_force: 64 to 128 px: x 4.00 (pixels x 4.00)"]


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    script = benchmark_command
    monkeypatch.setattr(script, "keep_freed_memory", lambda: True)  # it would stay with this process
    path = tmp_path / "found.json"
    words = [
        "--model",
        str(small),
        "--sizes",
        "8",
        "16",
        "--repetitions",
        "1",
        "--device",
        "cpu",
        "--json",
        str(path),
    ]
    script.main(["render", *words, "--networks", "full_size"])
    said = capsys.readouterr()
    assert "cpu, full_size, 16 px, adaptive: " in said.err
    assert "grown into networks" in said.out and "| full_size | 16 | brute_force |" in said.out
    assert "cpu, full_size, adaptive: 8 to 16 px" in said.out
    found = json.loads(path.read_text())
    assert len(found["measurements"]) == 2 * len(WAYS) and found["measurements"][0]["psnr_db"] is None


def test_the_demo_is_grown_to_the_papers_sizes_and_shows_the_same_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 23 manifolds for 16 and 64 samples for 24: the same within their spacing."""
    monkeypatch.setattr(rendering, "grown_generator", grown_generator)
    model = load_model(Path(__file__).parents[2] / "checkpoints" / "demo")
    large = rendering.grown(model)
    config = large.generator.config
    assert (config.template.hidden_dim, config.template.layers) == (256, 8)
    assert (config.deformation.hidden_dim, config.manifolds.hidden_dim) == (128, 128)
    assert (len(config.manifolds.values()), config.ray_sampling.samples) == (23, 64)
    views = [m.face(seed=7, expression="smile").render(yaw=0.3, size=24)[None] for m in (large, model)]
    assert differences(*views)[0] > 30


def test_wrong_options_are_refused_in_one_line() -> None:
    main = benchmark_command.main
    assert_one_line(
        lambda: main(["render", "--sizes", "64", "4"]), "sizes are [64, 4], expected one or several of 8"
    )
    assert_one_line(lambda: main(["render", "--repetitions", "0"]), "repetitions is 0, expected at least 1")
    assert_one_line(lambda: main(["render", "--ways", "adaptive"]), "ways are ['adaptive']", "brute_force")
    former = ["--ways", "brute_force", "exact"]
    assert_one_line(lambda: main(["render", *former]), "ways is exact, which is now adaptive", "")
    assert_one_line(lambda: main(["render", "--ways", "reference"]), "ways is reference", "now brute_force")
    assert_one_line(lambda: main(["render", "--networks", "huge"]), "networks")
    assert_one_line(lambda: main(["render", "--model", "nowhere"]), "nowhere: no such file or folder")
