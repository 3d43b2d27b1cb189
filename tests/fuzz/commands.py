"""Cases of whole commands: their options and YAML files, and folders with files of others in the way."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from anifacegan.avatars.baking.bake import BakeConfig
from anifacegan.cli.main import run as run_command
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import claim, filled_when_complete
from anifacegan.runtime.typed_config import plain
from anifacegan.training.config import TrainConfig
from tests.fuzz.mutations import BOMB, ODD, TEXTS, changed_bytes, changed_tree, changed_words
from tests.fuzz.world import World

ROOT = Path(__file__).resolve().parents[2]
Case = Callable[[], Any]
USUAL = {
    "render": [
        "--model",
        "MODEL",
        "--size",
        "8",
        "--frames",
        "2",
        "--seeds",
        "1",
        "--out",
        "OUT",
        "--renderer",
        "adaptive",
        "--expression",
        "jawOpen=0.5",
        "--grid",
        "false",
        "--video",
        "false",
        "--psi",
        "0.5",
        "--yaw",
        "-0.1,0.1",
    ],
    "bake": [
        "--model",
        "MODEL",
        "--out",
        "NOWHERE/a.safetensors",
        "--seed",
        "1",
        "--bake.texture",
        "64",
        "--expressions",
        "jawOpen",
    ],
    "evaluate": [
        "--model",
        "MODEL",
        "--out",
        "OUT",
        "--data",
        "NOWHERE",
        "--ramps",
        "2",
        "--metrics",
        "smoothness",
    ],
    "train": [
        "--out",
        "OUT",
        "--data.path",
        "NOWHERE",
        "--schedule.batch",
        "2",
        "--weights.alpha",
        "1.0",
        "--device",
        "cpu",
    ],
    "dataset": ["--out", "OUT", "--count", "1", "--size", "16", "--face-model", "NOWHERE", "--seed", "3"],
    "compare": ["--a", "MODEL", "--b", "MODEL", "--out", "OUT", "--data", "NOWHERE", "--draws", "20"],
    "import-released": ["--released", "NOWHERE", "--out", "OUT"],
    "export": ["snapshot", "RUN", "--out", "OUT", "--step", "3"],
    "measure": ["--model", "NOWHERE", "--data.path", "NOWHERE"],
    "expressions": ["--out", "OUT", "--face-model", "NOWHERE"],
    "figure": ["truncation", "--model", "MODEL", "--out", "OUT", "--seed", "a"],
    "fit": ["NOWHERE", "--out", "OUT", "--size", "64", "--face", "1", "--same-person", "--overwrite"],
    "prepare": [
        *(
            "--images",
            "NOWHERE",
            "--out",
            "OUT",
            "--size",
            "64",
            "--mirror",
            "--processes",
            "1",
            "--sheet",
            "2",
        ),
        *("--blur", "4", "--camera", "gram"),
    ],
    "animate": [
        *("NOWHERE", "--out", "OUT", "--size", "64", "--frames", "2", "--driver", "jaw_open=0.5"),
        *("--yaw", "-0.1,0.1", "--fps", "25", "--model", "MODEL"),
    ],
}
"""Arguments of each command; NOWHERE does not exist, so that none but render computes for long."""
PROCESSES = ("render", "dataset", "fit", "prepare", "animate", "bake", "evaluate", "expressions", "train")
"""Commands that are run as processes; most of them read their options before they import much."""


def options(rng: random.Random, world: World, folder: Path) -> Case:
    """A command with one changed word; files of others lie in its output folder."""
    name = rng.choice(list(USUAL))
    places = {
        "MODEL": world.model_folder,
        "OUT": folder / "out",
        "NOWHERE": folder / "nowhere",
        "RUN": world.folder / "run",
    }
    words = changed_words(rng, USUAL[name])
    words = changed_words(rng, words) if words and rng.random() < 0.3 else words
    for place, path in places.items():
        words = [word.replace(place, str(path)) for word in words]
    return lambda: _run([name, *words])


def config_file(rng: random.Random, world: World, folder: Path) -> Case:
    """A YAML file of a command's options."""
    name = rng.choice(["train", "render", "bake"])
    if name == "train":
        tree = plain(TrainConfig(folder / "out", {"path": str(folder / "nowhere")}))  # type: ignore[arg-type]
    elif name == "bake":
        tree = {
            "out": str(folder / "a.txt"),
            "bake": plain(BakeConfig()),
            "seed": 3,
            "psi": 0.5,
            "expressions": ["a", "b"],
        }
    else:
        tree = {
            "model": str(folder / "nowhere"),
            "seeds": [1, 2],
            "yaw": [0.1, 0.2],
            "depth": True,
            "out": str(folder / "out"),
        }
    if rng.random() < 0.7:
        content = yaml.safe_dump(changed_tree(rng, tree), allow_unicode=True).encode("utf-8", "replace")
    else:
        content = changed_bytes(rng, yaml.safe_dump(tree).encode())
        content = rng.choice(
            [content, rng.choice(TEXTS).encode(), BOMB.encode(), content + rng.choice(TEXTS).encode()]
        )
    path = folder / rng.choice(["a.yaml", "a b.yaml"])
    path.write_bytes(content)
    return lambda: _run([name, "--config", str(path)])


def output_folder(rng: random.Random, world: World, folder: Path) -> Case:
    """A folder with files of others, and markers that claim them, into which results are written."""
    out = folder / "out"
    mine = {
        "notes.txt",
        *(
            name
            for name in ("a.png", "sub/b.png", "manifest.json", "unfinished-1-abcdefgh/a.png")
            if rng.random() < 0.4
        ),
    }
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    files: Any = rng.choice(
        [["../keep.txt"], ["notes.txt", "/etc/x"], 3, [3], {}, None, ["notes.txt", 3], ["no\0tes"]]
    )
    marker = rng.choice(
        [{"program": "anifacegan", "files": files}, {"files": ["a.png"]}, [], rng.choice(ODD[:40])]
    )
    if rng.random() < 0.7:
        (out / ".anifacegan.json").write_bytes(json.dumps(marker).encode("utf-8", "replace"))
    elif rng.random() < 0.7:
        claim(out, ["ours.png"])
    (folder / "keep.txt").write_text("mine")

    def write() -> None:
        try:
            with filled_when_complete(out) as temporary:
                for name in ("a.png", "sub/b.png", "manifest.json"):
                    (temporary / name).parent.mkdir(exist_ok=True)
                    (temporary / name).write_text("new")
        finally:
            for name in mine:
                assert (out / name).read_text() == "mine", f"{name} was replaced"
            assert (folder / "keep.txt").read_text() == "mine"

    return write


def process(rng: random.Random, world: World, folder: Path) -> Case:
    """A command in a process of its own, with odd standard streams and locale."""
    name = rng.choice(PROCESSES)
    places = {"OUT": folder / "out", "NOWHERE": folder / "nowhere", "MODEL": folder / "nowhere"}
    words = [word for word in changed_words(rng, USUAL[name]) if "\0" not in word]
    for place, path in places.items():
        words = [word.replace(place, str(path)) for word in words]
    environment = os.environ | {"LC_ALL": rng.choice(["C", "POSIX", "C.UTF-8"]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "anifacegan.cli", name, *words, "--unknown", "--debug"]
    started = subprocess.Popen(  # beside the cases of this process
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip

    def call() -> None:
        _, said = started.communicate(timeout=120)
        if started.returncode != 2 or said.count("\n") != 1 or not said.startswith("error: "):
            raise AssertionError(f"exit code {started.returncode}: {said[-500:]}")
        raise InputError(said.strip())

    return call


def _run(words: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            run_command(words)
        except SystemExit as end:
            if end.code == 2 and said.getvalue().startswith("error: "):
                raise InputError(said.getvalue().removesuffix("\n")) from None
            if end.code not in (0, None):
                raise AssertionError(f"exit code {end.code}: {said.getvalue()}") from None


COMMANDS = (options, options, config_file, config_file, output_folder)
"""Each draws a case of a command in this process."""
