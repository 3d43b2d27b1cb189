"""Several workers compute what a single process computes, stop together, report one error, and survive a killed one."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from anifacegan.data.config import DataConfig
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import DiscriminatorConfig
from anifacegan.runtime import distributed
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers, working_together
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import plain, read_config
from anifacegan.training.config import AdversarialConfig, Split, TrainConfig
from anifacegan.training.run import refuse_uneven_shares
from anifacegan.training.snapshots import load_newest
from tests.fixtures.forked_scripts import ForkedScript
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.photographs import write_photographs
from tests.fixtures.tiny_training_set import SCHEDULE, tiny_config, write_tiny_set

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
SIZE, TIMEOUT_S = 16, 900
SECOND = Workers(rank=1, count=2, preparation_group="shares need no connection")


def environment(**more: str) -> dict[str, str]:
    """The environment of a new process that is no worker yet."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def finish(processes: list[ForkedScript]) -> list[tuple[int, str]]:
    """Exit codes, and what was printed on stderr."""
    return [process.end(TIMEOUT_S) for process in processes]


def started(*command: str, **more: str) -> ForkedScript:
    return ForkedScript(command, environment(**more))


def torchrun(*command: str) -> tuple[int, str]:
    """Exit code of torchrun, and what was printed on stderr."""
    arguments = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    options = {"env": environment(), "cwd": ROOT, "timeout": TIMEOUT_S}
    done = subprocess.run([*arguments, *command], stderr=subprocess.PIPE, text=True, **options)
    return done.returncode, done.stderr


def workers_of(count: int, *command: str) -> list[ForkedScript]:
    """A command as torchrun would start it, without torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [started(*command, RANK=str(k), LOCAL_RANK=str(k), **group) for k in range(count)]


# ------------------------------------------------------------------------------------------------------------- shares
def test_shares_are_contiguous_and_make_up_the_whole() -> None:
    items = torch.arange(6)
    parts = [Workers(rank, 3).part(6) for rank in range(3)]
    assert torch.equal(torch.cat([items[part] for part in parts]), items)
    assert parts[1] == slice(2, 4)


def test_a_share_of_a_record_is_a_share_of_each_tensor() -> None:
    whole = Latents(torch.randn(4, 80), torch.randn(4, 64), torch.randn(4, 80))
    share = SECOND.share(whole)
    assert torch.equal(share.z_id, whole.z_id[2:]) and torch.equal(share.z_exp, whole.z_exp[2:])


def test_a_worker_draws_its_part_of_what_one_process_draws() -> None:
    rngs = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole, share = torch.randn(4, 5, generator=rngs[0]), SECOND.draw(torch.randn, (2, 5), rngs[1])
    assert torch.equal(share, whole[2:])
    assert torch.equal(rngs[0].get_state(), rngs[1].get_state())  # the next draws agree, too


def test_a_single_process_shares_nothing() -> None:
    whole, terms = torch.randn(3, 2), {"colour": torch.randn((), requires_grad=True)}
    assert SINGLE_PROCESS.share(whole) is whole and SINGLE_PROCESS.mean(terms) is terms
    assert SINGLE_PROCESS.any(True) and not SINGLE_PROCESS.any(False)
    assert SINGLE_PROCESS.count_in_share(torch.tensor([True, True])).item() == 2
    assert SINGLE_PROCESS.count_in_share(torch.tensor([False])).item() == 1
    SINGLE_PROCESS.require_same("step", 3)
    SINGLE_PROCESS.require_single_process("task reconstruction")
    SINGLE_PROCESS.refuse_uneven("schedule.batch", 3)


def test_uneven_batches_and_tasks_for_a_single_process_are_refused() -> None:
    assert_one_line(lambda: SECOND.refuse_uneven("schedule.batch", 3), "schedule.batch is 3", "multiple of 2")
    assert_one_line(
        lambda: SECOND.require_single_process("task reconstruction"),
        "task reconstruction: 2 workers",
        "torchrun",
    )


# ------------------------------------------------------------------------------------------ equal losses and weights
Found = dict[str, dict]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, list[Found]]:
    """Results of shared_steps.py: of a single process, and of two workers."""
    folder = tmp_path_factory.mktemp("steps")
    write_photographs(folder / "photographs", 4, SIZE)
    command = (str(FIXTURES / "shared_steps.py"), str(folder), "cpu")
    for code, said in finish([started(*command), *workers_of(2, *command)]):
        assert code == 0, said
    return torch.load(folder / "alone.pt"), [torch.load(folder / f"worker_{rank}.pt") for rank in range(2)]


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("kind", ["paired", "alternating", "together"])
def test_two_workers_end_with_the_losses_and_weights_of_one_process(
    kind: str, steps: tuple[Found, list[Found]]
) -> None:
    """Five steps in float64: through the stages on paired images, and of both kinds of adversarial training.

    Every face shows another share of its vertices and every image another share of background, so that a term that
    is divided by the count of its share, and not of the batch, is found. Measured: 1e-15 on paired images, 1.5e-9 in
    adversarial training (1.2e-14 without its geometry).
    """
    alone, (first, second) = steps
    weights = [value for value in alone[kind]["weights"].values() if value.is_floating_point()]
    assert all(value.dtype == torch.float64 for value in weights)
    assert len(alone[kind]["losses"]) == 5
    near = 1e-10 if kind == "paired" else 1e-7
    for worker in (first, second):
        assert largest_difference(alone[kind]["weights"], worker[kind]["weights"]) < near
        for expected, losses in zip(alone[kind]["losses"], worker[kind]["losses"], strict=True):
            assert losses == pytest.approx(expected, rel=near, abs=1e-12)
    assert largest_difference(first[kind]["weights"], second[kind]["weights"]) == 0


def test_no_loss_term_is_zero_in_those_steps(steps: tuple[Found, list[Found]]) -> None:
    for found in steps[0].values():
        last = found["losses"][-1]
        assert all(value != 0 for name, value in last.items() if "_right_" not in name), last
    pairs = {
        "colour",
        "silhouette",
        "free_space",
    }  # the paired renders, in one of the two kinds of adversarial training
    assert pairs <= steps[0]["together"]["losses"][-1].keys()
    assert not pairs & steps[0]["alternating"]["losses"][-1].keys()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_worker_on_a_gpu_ends_with_the_losses_of_one_process(tmp_path: Path) -> None:
    """Through NCCL, which takes one worker a GPU: one, or two where there are two."""
    write_photographs(tmp_path / "photographs", 4, SIZE)
    command = (str(FIXTURES / "shared_steps.py"), str(tmp_path), "cuda")
    count = min(2, torch.cuda.device_count())
    for code, said in finish([started(*command), *workers_of(count, *command)]):
        assert code == 0, said
    alone, worker = torch.load(tmp_path / "alone.pt"), torch.load(tmp_path / "worker_0.pt")
    for kind, found in alone.items():
        for expected, losses in zip(found["losses"], worker[kind]["losses"], strict=True):
            assert losses == pytest.approx(expected, rel=1e-6, abs=1e-9)


# ----------------------------------------------------------------------------------------------------------- whole runs
@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny set, and the configuration of seven steps through all four stages."""
    folder = tmp_path_factory.mktemp("set")
    write_tiny_set(folder, count=6, size=SIZE)
    paired = tiny_config(folder, folder / "nowhere")
    config = dataclasses.replace(
        paired,
        data=DataConfig(folder / "data", SIZE),
        schedule=dataclasses.replace(SCHEDULE, warm_up_deform=1, near_surface=1, complete=2, adversarial=3),
        discriminator=DiscriminatorConfig(size=SIZE, capacity=64, max_channels=8),
        adversarial=AdversarialConfig(batch=2, split=Split(1, 100)),
        reporting=dataclasses.replace(paired.reporting, log_every=2, preview_every=5, snapshot_every=3),
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(config), sort_keys=False))
    return folder


def training(tiny: Path, out: Path, what: str, rank: int = 1, step: int = 4, *options: str) -> list[str]:
    """The command of a run in which ``what`` happens to one worker in the middle of a step; see run_as_worker.py."""
    script = [str(FIXTURES / "run_as_worker.py"), what, str(rank), str(step)]
    return [*script, "--config", str(tiny / "config.yaml"), "--out", str(out), *options]


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two workers."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    ends = finish(workers_of(2, *training(tiny, out, "nothing")))
    assert [code for code, _ in ends] == [0, 0], ends
    (out.parent / "printed").write_text("".join(said for _, said in ends))
    return out


def same_end(one: Path, other: Path) -> None:
    """stats.jsonl, the last snapshot's weights and the finished models are equal, bit for bit."""
    assert (one / "stats.jsonl").read_text() == (other / "stats.jsonl").read_text()
    first, second = load_newest(one), load_newest(other)
    assert first is not None and second is not None and first["step"] == second["step"] == 7
    for part in ("generator", "average"):
        assert largest_difference(first[part], second[part]) == 0
    assert (
        largest_difference(first["adversarial"]["discriminator"], second["adversarial"]["discriminator"]) == 0
    )
    assert (one / "model" / "model.safetensors").read_bytes() == (
        other / "model" / "model.safetensors"
    ).read_bytes()


def errors(ends: list[tuple[int, str]]) -> list[str]:
    """All error lines that workers have printed."""
    return [
        line for _, said in ends for line in said.splitlines() if line.startswith(("error:", "interrupted"))
    ]


@pytest.mark.slow  # whole runs of two processes; what one worker writes is also seen before the broken file below
def test_one_worker_writes_files_and_prints(unbroken: Path) -> None:
    steps = [yaml.safe_load(line)["step"] for line in (unbroken / "stats.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 5, 6, 7]  # a line each, two of them of previews
    assert len(list((unbroken / "tensorboard").iterdir())) == 1
    assert (unbroken.parent / "printed").read_text().count("model written to") == 1


@pytest.mark.slow
def test_workers_stop_after_the_same_step_when_one_is_signalled_and_resume_to_the_same_end(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    ends = finish(workers_of(2, *training(tiny, out, "requested")))
    assert [code for code, _ in ends] == [130, 130] and errors(ends) == ["interrupted"]
    assert [path.name for path in sorted(out.glob("snapshot_*"))] == [
        "snapshot_00000003.pt",
        "snapshot_00000005.pt",
    ]
    for code, said in finish(workers_of(2, *training(tiny, out, "nothing"))):
        assert code == 0, said
    same_end(out, unbroken)


def test_a_broken_file_that_one_worker_finds_ends_all_with_one_line(tiny: Path, tmp_path: Path) -> None:
    """Until then one worker writes, and draws a line at every second step."""
    ends = finish(workers_of(2, *training(tiny, tmp_path / "run", "broken")))
    assert ends[1][0] == 2 and ends[0][0] != 0
    assert errors(ends) == ["error: 000003.png: not a readable image"]
    lines = (tmp_path / "run" / "stats.jsonl").read_text().splitlines()
    assert [yaml.safe_load(line)["step"] for line in lines] == [2, 4]
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert [path.name for path in (tmp_path / "run").glob("snapshot_*")] == ["snapshot_00000003.pt"]


@pytest.mark.slow  # two processes; test_every_batch_has_to_divide calls what refuses
def test_a_batch_that_does_not_divide_is_one_line_before_anything_is_written(
    tiny: Path, tmp_path: Path
) -> None:
    ends = finish(
        workers_of(2, *training(tiny, tmp_path / "run", "nothing", 0, 0, "--schedule.mesh_faces", "3"))
    )
    assert [code for code, _ in ends] == [2, 2]
    assert errors(ends) == [
        "error: schedule.mesh_faces is 3, expected a multiple of 2, the number of workers"
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["schedule.batch", "schedule.mesh_faces", "adversarial.batch"])
def test_every_batch_has_to_divide(option: str, tiny: Path) -> None:
    arguments = ["--config", str(tiny / "config.yaml"), f"--{option}", "3"]
    config = read_config(TrainConfig, arguments, "train.py")
    assert_one_line(lambda: refuse_uneven_shares(config, SECOND), f"{option} is 3", "multiple of 2")
    refuse_uneven_shares(config, SINGLE_PROCESS)


def test_paired_renders_in_adversarial_training_have_to_divide_too(tiny: Path) -> None:
    no_pairs = ["--schedule.near_surface", "0", "--schedule.complete", "0", "--schedule.batch", "3"]
    arguments = ["--config", str(tiny / "config.yaml"), *no_pairs]
    refuse_uneven_shares(read_config(TrainConfig, arguments, "train.py"), SECOND)
    anchored = read_config(TrainConfig, [*arguments, "--adversarial.paired_rays", "4"], "train.py")
    assert_one_line(lambda: refuse_uneven_shares(anchored, SECOND), "schedule.batch is 3", "multiple of 2")


@pytest.mark.slow
def test_a_signal_to_torchrun_leaves_a_snapshot_of_the_step(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, said = torchrun("--shutdown-timeout", "300", *training(tiny, out, "torchrun"))
    assert code != 0 and errors([(code, said)]) == ["interrupted"]
    assert [path.name for path in sorted(out.glob("snapshot_*"))] == [
        "snapshot_00000003.pt",
        "snapshot_00000005.pt",
    ]
    assert not (out / "model").exists()


@pytest.mark.slow
def test_a_killed_worker_under_torchrun_costs_no_more_than_the_steps_since_the_last_snapshot(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, said = torchrun("--max-restarts", "2", *training(tiny, out, "killed"))
    assert code == 0, said
    assert "-9" in said  # torchrun tells how the worker ended
    same_end(out, unbroken)


# --------------------------------------------------------------------------------------------------- wrong variables
GROUP = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29511",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"RANK": "5"}, "RANK is 5, expected less than WORLD_SIZE, which is 2"),
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc', expected a whole number, at least 1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0', expected a whole number, at least 1"),
        ({"RANK": "-1"}, "RANK is '-1', expected a whole number, at least 0"),
        ({"LOCAL_RANK": "x"}, "LOCAL_RANK is 'x', expected a whole number"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT is 99999, expected 1 to 65535"),
        ({"MASTER_ADDR": None}, "WORLD_SIZE is 2, but MASTER_ADDR is not set"),
        ({"RANK": None}, "WORLD_SIZE is 2, but RANK is not set"),
        ({"WORLD_SIZE": None, "RANK": "1"}, "RANK is 1, but WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "abc", "RANK": None, "MASTER_ADDR": None}, "WORLD_SIZE is 'abc'"),
    ],
)
def test_variables_that_torchrun_does_not_set_so_are_refused(
    change: dict[str, str | None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process would wait for others that never come, or train alone."""
    for name, value in (GROUP | change).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert_one_line(lambda: working_together().__enter__(), expected)


@pytest.mark.parametrize("left", [{}, {"WORLD_SIZE": "1"}, {"RANK": "0"}, {"MASTER_PORT": "29511"}])
def test_a_process_without_a_group_trains_alone(
    left: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GROUP:
        monkeypatch.delenv(name, raising=False)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with working_together() as workers:
        assert workers is SINGLE_PROCESS


def test_waiting_for_others_can_be_interrupted() -> None:
    """Foreign code, which Python's signals do not reach, runs in a thread of its own."""
    waits = threading.Event()

    def never() -> None:
        signal.raise_signal(signal.SIGINT)
        waits.wait()

    with pytest.raises(KeyboardInterrupt):
        distributed._interruptible(never)
    waits.set()
    assert distributed._interruptible(lambda: 3) == 3
    assert_one_line(lambda: distributed._interruptible(refused), "no such host")


def refused() -> None:
    raise InputError("no such host")
