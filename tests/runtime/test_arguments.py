"""What a program hands to the library works in every usual type, or is refused by name."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from anifacegan.runtime.arguments import array, number, switch, whole_number
from anifacegan.runtime.errors import InputError

ROW = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("value", [7, np.int64(7), np.uint8(7), torch.tensor(7), np.array(7)])
def test_whole_numbers_of_every_library_are_read(value: Any) -> None:
    assert whole_number("seed", value, 0, 10) == 7


@pytest.mark.parametrize(
    "value",
    [
        True,
        7.0,
        "7",
        None,
        11,
        -1,
        [7],
        np.float32(7),
        10**30,
        torch.tensor([1, 2]),
        torch.tensor(True),
        np.array(True),
    ],
)
def test_what_is_no_whole_number_in_range_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="^seed is .*, expected a whole number from 0 to 10$"):
        whole_number("seed", value, 0, 10)


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), torch.tensor(0.5), np.array(0.5), Fraction(1, 2)])
def test_numbers_of_every_library_are_read(value: Any) -> None:
    assert number("yaw", value) == 0.5


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        np.bool_(True),
        "0.5",
        b"1",
        True,
        None,
        [0.5, 1],
        1e300,
        10**400,
        1j,
        np.complex128(0.1 + 2j),
        np.array(0.1 + 0j),
        torch.tensor(0.1 + 0j),
        np.array("0.3"),
        np.array(b"0.3"),
        np.str_("0.3"),
        bytearray(b"0.3"),
        memoryview(b"0.3"),
        np.array(True),
        torch.tensor(True),
        np.timedelta64(1),
        torch.tensor([0.1, 0.2]),
    ],
)
def test_what_is_no_finite_number_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="^yaw is "):
        number("yaw", value)


@pytest.mark.parametrize("value", [True, np.bool_(True)])
def test_switches_are_read(value: Any) -> None:
    assert switch("antialias", value) is True


@pytest.mark.parametrize("value", ["no", "", 0, 1, 2.0, math.nan, None, [], object()])
def test_what_is_no_switch_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="^antialias is .*, expected true or false$"):
        switch("antialias", value)


@pytest.mark.parametrize(
    "value",
    [
        ROW,
        ROW[None],
        ROW.tolist(),
        tuple(ROW),
        torch.from_numpy(ROW).requires_grad_(),
        torch.from_numpy(ROW).bfloat16(),
        ROW.astype(int),
        ROW[::1],
    ],
)
def test_arrays_of_every_library_are_read(value: Any) -> None:
    found = array("expression", value, 4)
    assert found.dtype == np.float32 and np.array_equal(found, ROW)


@pytest.mark.parametrize(
    "value",
    [
        ROW[:3],
        ROW[:, None],
        ROW > 1,
        ["a"] * 4,
        [[1, 2], [3]],
        ROW * np.nan,
        ROW * 1e9,
        ROW + 0j,
        np.ma.masked_equal(ROW, 1),
        3,
        None,
        {},
        object(),
    ],
)
def test_what_is_no_array_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="^expression "):
        array("expression", value, 4)


@pytest.mark.parametrize("value", [bytearray(4), memoryview(bytes(4)), bytes(4), "0000"])
def test_bytes_are_no_array_of_numbers(value: Any) -> None:
    with pytest.raises(InputError, match=f"^z_id is a {type(value).__name__}, expected 4 numbers"):
        array("z_id", value, 4)
