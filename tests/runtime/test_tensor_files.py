"""Files of tensors from strangers: safetensors and PyTorch's files."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_files import (
    CHECKSUM,
    HEADER_CHECKSUM,
    check_values,
    read_pytorch,
    read_safetensors,
    safetensors_content,
    state_dict_in,
)
from tests.fixtures.one_line import assert_one_line

OTHER_FILES = {
    "nothing": (b"", "is empty"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "page": (b"\n<!DOCTYPE html><title>Quota exceeded</title>", "is a web page"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is an image (PNG)"),
    "mat": (b"MATLAB 5.0 MAT-file" + bytes(200), "is a MATLAB file"),
    "cut off": (save({"a": torch.zeros(9)})[:-3], "not readable"),
    "long header": (b"\xff" * 7 + b"\x00" + bytes(90), "not readable"),
}


@pytest.mark.parametrize(("content", "message"), OTHER_FILES.values(), ids=OTHER_FILES)
@pytest.mark.parametrize("read", [read_safetensors, read_pytorch])
def test_files_of_other_kinds_are_named(read: Any, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.pth", "weights")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pth'}: ") and "expected weights" in str(caught.value)
    assert message.removeprefix("not ") in str(caught.value)


@pytest.mark.parametrize("first_byte", [0x80, 0x48, 0xB8])
def test_the_length_of_a_header_is_no_other_kind_of_file(first_byte: int, tmp_path: Path) -> None:
    """A safetensors file begins with this length, whose lowest byte may be the first of a pickle."""
    for padding in range(256):
        content = save({"a": torch.zeros(9)}, {"text": "x" * padding})
        if content[0] == first_byte:
            break
    assert content[0] == first_byte
    (tmp_path / "a.safetensors").write_bytes(content)
    tensors = read_safetensors(tmp_path / "a.safetensors", "weights")
    assert "a" in str(tensors)


def test_a_file_that_shrinks_after_it_was_read_changes_no_tensor(tmp_path: Path) -> None:
    """Tensors that were mapped from the file would end the process here."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.arange(50_000)}, {"text": "x"}))
    tensors, texts = read_safetensors(path, "weights")
    path.write_bytes(b"")
    assert torch.equal(tensors["a"], torch.arange(50_000)) and texts == {"text": "x"}


def test_numbers_that_change_after_they_were_written_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    content = safetensors_content({"a": torch.arange(500), "b": torch.ones(3).half()}, {"text": "x"})
    path.write_bytes(content)
    tensors, texts = read_safetensors(path, "weights")
    assert torch.equal(tensors["a"], torch.arange(500)) and texts["text"] == "x"
    path.write_bytes(content[:-40] + bytes(40))
    assert_one_line(
        lambda: read_safetensors(path, "weights"), "damaged or changed after it was written", "CRC-32"
    )


def test_every_bit_of_a_header_that_changes_is_noticed(tmp_path: Path) -> None:
    """But for spaces behind it, and those of the name of the checksum itself, without which the rest is read."""
    path = tmp_path / "a.safetensors"
    content = safetensors_content({"a": torch.arange(5), "shades": torch.zeros(3)}, {"about": '{"psi": 0.7}'})
    path.write_bytes(content)
    expected = read_safetensors(path, "weights")
    assert HEADER_CHECKSUM in expected[1]
    end = 8 + int.from_bytes(content[:8], "little")
    loaded = 0
    for place in range(end):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                tensors, texts = read_safetensors(path, "weights")
            except InputError as error:
                assert "\n" not in str(error)
                continue
            loaded += 1
            assert texts["about"] == expected[1]["about"] and tensors.keys() == expected[0].keys()
            assert all(torch.equal(tensors[name], expected[0][name]) for name in tensors)
    assert loaded < 8 * 20


def test_files_without_a_checksum_of_the_header_are_read(tmp_path: Path) -> None:
    """As earlier versions wrote them."""
    path = tmp_path / "a.safetensors"
    texts = {"about": "x", CHECKSUM: read_texts(path)[CHECKSUM]}
    path.write_bytes(save({"a": torch.arange(5)}, texts))
    assert torch.equal(read_safetensors(path, "weights")[0]["a"], torch.arange(5))


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a file of this version, which is written there."""
    path.write_bytes(safetensors_content({"a": torch.arange(5)}))
    return read_safetensors(path, "weights")[1]


def test_a_damaged_pickle_is_not_explained_by_torch_s_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"z")
    assert_one_line(
        lambda: read_pytorch(tmp_path / "a.pth", "weights"),
        "a.pth: not readable as weights (neither an archive nor a pickle of tensors), expected weights",
    )


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert_one_line(
        lambda: read_pytorch(tmp_path / "a.pth", "weights"), "a.pth: no such file, expected weights"
    )
    assert_one_line(lambda: read_pytorch(tmp_path, "weights"), "is a folder, expected weights")


class Whole(torch.nn.Module):
    """A module that somebody saved whole."""


def test_a_pickled_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(Whole(), tmp_path / "a.pth")
    assert_one_line(
        lambda: read_pytorch(tmp_path / "a.pth", "weights"), "holds Python objects", "state_dict()"
    )


def test_a_small_archive_of_something_large_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2**20)}, buffer)
    with (
        zipfile.ZipFile(buffer) as source,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    assert (tmp_path / "a.pth").stat().st_size < 10_000
    assert_one_line(lambda: read_pytorch(tmp_path / "a.pth", "weights"), "unpacks to")


@pytest.mark.parametrize(
    "wrap",
    [lambda state: state, lambda state: {"state_dict": state, "step": 3}, lambda state: {"model": state}],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_are_found_where_programs_put_them(wrap: Any, prefix: str, tmp_path: Path) -> None:
    torch.save(wrap({f"{prefix}a.weight": torch.ones(2)}), tmp_path / "a.pth")
    content = read_pytorch(tmp_path / "a.pth", "weights")
    assert list(state_dict_in(tmp_path / "a.pth", content, "weights")) == ["a.weight"]


@pytest.mark.parametrize(
    ("content", "message"),
    {
        "a list": ([torch.ones(2)], "holds a list"),
        "numbers": ({"a": 1}, "holds no tensors but 'a'"),
        "number as a name": ({3: torch.ones(2)}, "has the name 3"),
        "meta": ({"a": torch.ones(2, device="meta")}, "is without values"),
        "sparse": ({"a": torch.eye(3).to_sparse()}, "is sparse"),
        "quantised": ({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, "is quantised"),
        "float8": ({"a": torch.ones(2).to(torch.float8_e5m2)}, "float8"),
        "complex": ({"a": torch.ones(2, dtype=torch.complex64)}, "complex"),
        "few numbers many times": ({"a": torch.ones(1).expand(10**6, 10**6)}, "is not stored completely"),
    }.values(),
)
def test_tensors_that_are_not_ordinary_are_named(content: Any, message: str) -> None:
    assert_one_line(lambda: state_dict_in(Path("a.pth"), content, "weights"), "a.pth: ", message)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_values_that_break_every_sum_are_named(value: float) -> None:
    assert_one_line(lambda: check_values(Path("a"), "b", torch.tensor([1.0, value])), "a: tensor 'b' has ")
