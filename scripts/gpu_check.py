"""What the owner of a GPU should run once, see gpu_check.sh: a verdict a line, and a file to send back.

python scripts/gpu_check.py REPORT
"""

import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the stand-ins for data and face model are those of the tests

from anifacegan.rendering.frame import decibels  # noqa: E402
from anifacegan.rendering.model import load_model  # noqa: E402
from anifacegan.runtime.errors import exit_on_input_error  # noqa: E402
from anifacegan.runtime.torch_internals import compiled_graphs  # noqa: E402
from anifacegan.runtime.typed_config import read_config  # noqa: E402
from anifacegan.training.compilation import compile_fields  # noqa: E402
from anifacegan.training.plan import GIB, plan  # noqa: E402
from tests.fixtures.pretended_iterations import StandInRun, configured, pretended_run  # noqa: E402

MOST = {"kernels": 8000, "waits": 10, "copies": 10}
"""Largest numbers of an iteration of ffhq128.yaml, four images at a time."""
TEST_SECONDS = 300
"""Longest time of the tests that need a GPU."""
LEAST_PSNR_DB = 45.0
"""Smallest PSNR between a GPU's frame and the CPU's."""
ITERATIONS = 5
"""Number of iterations whose mean time is measured, after two others."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of a check: ok, FAILED or not run, and what was found."""

    word: str
    found: str


def verdict(good: bool, found: str) -> Verdict:
    return Verdict("ok" if good else "FAILED", found)


# --------------------------------------------------------------------------------------------------------- the checks
def machine() -> Verdict:
    """Name the GPU and the programs."""
    properties = torch.cuda.get_device_properties(0)
    found = f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / GIB:.0f} GiB"
    nvdiffrast = "nvdiffrast" if find_spec("nvdiffrast") else "no nvdiffrast"
    return Verdict(
        "ok", f"{found}, PyTorch {torch.__version__}, {nvdiffrast}, Python {platform.python_version()}"
    )


def pretended() -> Verdict:
    """Count an iteration on a pretended GPU."""
    config = configured("ffhq128", "--adversarial.batch", "4")
    with pretended_run(config) as (run, gpu):
        run.step(config.schedule.paired_steps)
        counts = {
            "kernels": gpu.kernels,
            "waits": sum(gpu.waits.values()),
            "copies": sum(gpu.copies.values()),
        }
    found = ", ".join(f"{number} {name} (at most {MOST[name]})" for name, number in counts.items())
    return verdict(all(number <= MOST[name] for name, number in counts.items()), found)


def tests() -> Verdict:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return verdict(False, f"did not end within {TEST_SECONDS} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    last = done.stdout.strip().splitlines()[-1:]
    return verdict(done.returncode == 0, "; ".join([*last, *lines]))


def iteration() -> Verdict:
    """Measure adversarial iterations of ffhq128.yaml beside what --plan says of them."""
    config = configured("ffhq128")
    planned = next(stage.cost for stage in plan(config, 1) if stage.stage == "adversarial")
    run = StandInRun(config, paired=False, device="cuda")
    seconds = timed(run)
    peak = torch.cuda.max_memory_allocated()
    found = f"{seconds:.2f} s an iteration of 32 images (plan: " + ", ".join(
        f"{name} {value:.2f}" for name, value in planned.seconds.items()
    )
    found += f"), {peak / GIB:.1f} GiB (plan: {planned.peak_bytes / GIB:.1f})"
    return verdict(0.5 < peak / planned.peak_bytes < 1.3, found)


def compiled() -> Verdict:
    """Measure compiled iterations, and whether anything is compiled again after the first two."""
    run = StandInRun(configured("ffhq128"), paired=False, device="cuda")
    compile_fields(run.state.generator)
    first = run.config.schedule.paired_steps
    for number in range(2):
        run.step(first + number)
    graphs = compiled_graphs()
    seconds = timed(run)
    return verdict(compiled_graphs() == graphs, f"{seconds:.2f} s an iteration, {graphs} graphs, none later")


def traffic() -> Verdict:
    """Count copies from pageable memory and waits of an iteration in PyTorch's profile."""
    config = configured("ffhq128", "--adversarial.batch", "4")
    run = StandInRun(config, paired=False, device="cuda")
    first = config.schedule.paired_steps
    run.step(first)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        run.step(first + 1)
    counts = {event.key: event.count for event in profile.key_averages()}
    pageable = sum(count for name, count in counts.items() if "Memcpy HtoD (Pageable" in name)
    waits = sum(
        count for name, count in counts.items() if name in ("cudaStreamSynchronize", "cudaEventSynchronize")
    )
    launches = sum(count for name, count in counts.items() if name.startswith("cudaLaunchKernel"))
    found = f"{pageable} pageable copies, {waits} waits, {launches} launches"
    return verdict(pageable <= MOST["copies"] and waits <= MOST["waits"], found)


def rendering() -> Verdict:
    """Compare a frame of the demo with the CPU's, and measure its time."""
    frames = {}
    for device in ("cpu", "cuda"):
        face = load_model("demo", device).face(seed=7, expression="smile=0.7")
        frames[device] = face.render(yaw=0.35)
        if device == "cuda":
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(ITERATIONS):
                face.render(yaw=0.35)
            torch.cuda.synchronize()
            seconds = (time.perf_counter() - start) / ITERATIONS
    error = (frames["cuda"].cpu() - frames["cpu"]).square().mean().item()
    return verdict(
        decibels(error) > LEAST_PSNR_DB, f"{decibels(error):.1f} dB to the CPU's, {1000 * seconds:.0f} ms"
    )


def timed(run: StandInRun) -> float:
    """Return the mean time of an iteration in seconds, after two others; all losses have to be finite."""
    first = run.config.schedule.paired_steps
    for number in range(2):
        run.step(first + number)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for number in range(ITERATIONS):
        losses = run.step(first + 2 + number)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / ITERATIONS
    broken = [name for name, value in losses.items() if not torch.isfinite(value)]
    if broken:
        raise FloatingPointError(f"not finite: {', '.join(broken)}")
    return seconds


CHECKS: dict[str, tuple[Callable[[], Verdict], bool]] = {
    "machine": (machine, True),
    "pretended GPU": (pretended, False),
    "tests": (tests, True),
    "iteration": (iteration, True),
    "compiled iteration": (compiled, True),
    "copies and waits": (traffic, True),
    "rendering": (rendering, True),
}
"""Checks by name, and whether they need a GPU."""


def checked(name: str) -> Verdict:
    """Run a check; an error in it is its outcome."""
    check, needs_gpu = CHECKS[name]
    if needs_gpu and not torch.cuda.is_available():
        return Verdict("not run", "there is no GPU")
    try:
        return check()
    except Exception as error:  # whatever it is, the other checks still count
        lines = "".join(traceback.format_exception(error))
        return verdict(False, f"{type(error).__name__}: {error}\n{lines}")
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main(report: Path) -> int:
    """Run all checks, print a line of each, and write the lines to the file ``report``; return the exit code."""
    lines, words = [], set()
    if not torch.cuda.is_available():
        lines.append("NO GPU: PyTorch sees no NVIDIA GPU here, so almost nothing was checked")
        print(lines[0])
    for name in CHECKS:
        start = time.perf_counter()
        outcome = checked(name)
        words.add(outcome.word)
        line = f"{name}: {outcome.word}, {outcome.found} ({time.perf_counter() - start:.0f} s)"
        print(line.splitlines()[0], flush=True)
        lines.append(line)
        report.write_text("\n".join(lines) + "\n")
    print(f"written to {report}: please send it back in an issue")
    if "FAILED" in words:
        return 1
    return 3 if "not run" in words else 0


@dataclass(frozen=True)
class CheckConfig:
    """Check everything that needs a GPU, once: a verdict a line, and a file to send back. The exit code is 0 if all is
    ok, 1 if a check failed, 3 if there is no GPU.
    """

    report: Path
    """File that the verdicts are written to."""


if __name__ == "__main__":
    with exit_on_input_error():
        config = read_config(CheckConfig, sys.argv[1:], "gpu_check.py", leading=("report",))
        sys.exit(main(config.report))
