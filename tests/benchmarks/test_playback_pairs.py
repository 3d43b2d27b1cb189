"""The comparison of two checkouts' players: what it pairs and reports, not how fast these are."""

import json
from pathlib import Path

import pytest
import torch

from anifacegan.avatars.avatar import save_avatar
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import ConfigError, InputError
from benchmarks import __main__ as benchmark_command
from benchmarks.playback_frames import EXPRESSION, SEED, image_of
from benchmarks.playback_pairs import PlaybackPairsBenchmark, _pair, measure_playback_pairs
from benchmarks.training_pairs import REPOSITORY
from tests.fixtures.ball_avatars import ball_avatar


def test_the_ratio_is_the_median_of_the_pairs_of_a_drifting_machine() -> None:
    pairs = [({"clock": slow, "cpu": slow}, {"clock": 2 * slow, "cpu": 3 * slow}) for slow in (1.0, 5.0, 2.0)]
    found = _pair(256, True, pairs)
    assert found.ratio == {"clock": 2, "cpu": 3} and found.here["cpu"] == 2 and found.there["clock"] == 4


@pytest.mark.slow  # starts four programs
def test_both_checkouts_play_the_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_avatar(tmp_path / "ball.safetensors", ball_avatar())
    words = ["--other", str(REPOSITORY), "--avatar", str(tmp_path / "ball.safetensors"), "--sizes", "32"]
    benchmark_command.main(
        [
            "playback-pairs",
            *words,
            "--rounds",
            "2",
            "--frames",
            "1",
            "--threads",
            "1",
            "--json",
            str(tmp_path / "a.json"),
        ]
    )
    table = capsys.readouterr().out.splitlines()
    assert [row.split("|")[2].strip() for row in table[2:]] == ["plain", "smooth"]
    pairs = json.loads((tmp_path / "a.json").read_text())["pairs"]
    assert all(0 < pair["here"]["cpu"] < 10 and 0 < pair["ratio"]["clock"] for pair in pairs)


def test_a_models_networks_are_drawn() -> None:
    image = image_of(REPOSITORY / "checkpoints" / "demo")(0, yaw=0.2, pitch=0.0, size=16, antialias=False)
    face = load_model("demo").face(seed=SEED, expression=EXPRESSION)
    assert torch.equal(image.rgb, face.render(yaw=0.2, size=16, antialias=False))


def test_other_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"no avatar")
    with pytest.raises(ConfigError, match="expected a checkout of this repository"):
        PlaybackPairsBenchmark(other=tmp_path, avatar=tmp_path / "no.safetensors")
    with pytest.raises(ConfigError, match="expected an avatar file"):
        PlaybackPairsBenchmark(other=REPOSITORY, avatar=tmp_path / "absent.safetensors")
    broken = PlaybackPairsBenchmark(other=REPOSITORY, avatar=tmp_path / "no.safetensors")
    with pytest.raises(InputError, match="its player has ended with code"):
        measure_playback_pairs(broken)
