"""Files of latents: people and mean FiLM parameters come back, and what is broken is named."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.models.latent_files import read_mean_film_parameters, read_people, write_people
from tests.fixtures.one_line import assert_one_line


def test_people_come_back(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    z_id, z_noise = torch.randn(2, 3, 80, generator=rng)
    write_people(tmp_path / "people.npz", z_id, z_noise)
    read_id, read_noise = read_people(tmp_path / "people.npz")
    assert torch.equal(read_id, z_id) and torch.equal(read_noise, z_noise)
    assert [path.name for path in tmp_path.iterdir()] == ["people.npz"]


def test_one_person_may_be_stored_as_vectors(tmp_path: Path) -> None:
    np.savez(tmp_path / "person.npz", z_id=np.arange(80), z_noise=np.zeros(80))
    z_id, z_noise = read_people(tmp_path / "person.npz")
    assert torch.equal(z_id, torch.arange(80.0)[None]) and torch.equal(z_noise, torch.zeros(1, 80))


BROKEN = {
    "short": np.zeros((2, 79)),
    "too many axes": np.zeros((1, 2, 80)),
    "scalar": np.array(1.0),
    "nobody": np.zeros((0, 80)),
    "text": np.array(["a"] * 80),
    "objects": np.array([{}] * 80),
    "nan": np.full((2, 80), np.nan),
    "too large for float32": np.full((2, 80), 1e300),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.filterwarnings("error")
def test_broken_latents_are_named(value: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "people.npz"
    np.savez(path, z_id=np.zeros((2, 80)), z_noise=value)
    assert_one_line(lambda: read_people(path), str(path), "" if value.dtype == object else "'z_noise'")


def test_a_missing_latent_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "people.npz", z_id=np.zeros((2, 80)))
    assert_one_line(lambda: read_people(tmp_path / "people.npz"), "people.npz", "'z_noise'", "z_id")


def test_as_many_identities_as_noises_are_expected(tmp_path: Path) -> None:
    np.savez(tmp_path / "people.npz", z_id=np.zeros((2, 80)), z_noise=np.zeros((3, 80)))
    assert_one_line(lambda: read_people(tmp_path / "people.npz"), "people.npz", "2", "3")


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    assert_one_line(lambda: read_people(tmp_path / "none.npz"), "none.npz", "no such file")
    np.savez(tmp_path / "whole.npz", z_id=np.zeros(80), z_noise=np.zeros(80))
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(80))
    contents = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"people\n" * 40}
    contents["array"] = (tmp_path / "array.npy").read_bytes()
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        assert_one_line(lambda path=path: read_people(path), str(path))


@pytest.mark.parametrize("names", [("avg_frequencies", "avg_phase_shifts"), ("frequencies", "phases")])
def test_mean_film_parameters_are_read_under_both_names(names: tuple[str, str], tmp_path: Path) -> None:
    np.savez(tmp_path / "averages.npz", **{names[0]: np.arange(6.0), names[1]: -np.arange(6.0)[None]})
    frequencies, phases = read_mean_film_parameters(tmp_path / "averages.npz", units=6)
    assert torch.equal(frequencies, torch.arange(6.0)[None]) and torch.equal(phases, -torch.arange(6.0)[None])


def test_broken_mean_film_parameters_are_named(tmp_path: Path) -> None:
    path = tmp_path / "averages.npz"
    np.savez(path, frequencies=np.zeros(6), phases=np.zeros(6))
    assert_one_line(lambda: read_mean_film_parameters(path, units=7), str(path), "'frequencies'", "(6,)", "7")
    np.savez(path, frequencies=np.zeros((2, 6)), phases=np.zeros(6))
    assert_one_line(lambda: read_mean_film_parameters(path, units=6), str(path), "'frequencies'", "2 rows")
    np.savez(path, frequencies=np.zeros(6))
    assert_one_line(lambda: read_mean_film_parameters(path, units=6), str(path), "'phases'")


def test_people_that_could_not_be_read_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "people.npz"
    z_id, wrong = torch.zeros(2, 80), torch.full((2, 80), float("nan"))
    assert_one_line(
        lambda: write_people(path, z_id, wrong), "people.npz: 'z_noise' has values that are not finite"
    )
    assert_one_line(lambda: write_people(path, z_id[:0], z_id[:0]), "people.npz: 'z_id' has shape (0, 80)")
    assert not path.exists()
