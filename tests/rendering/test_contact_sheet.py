"""Contact sheets: every image and label is in its place."""

import numpy as np

from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_sheet_holds_every_cell_once_in_its_row_and_column() -> None:
    cells = [[noise(20, 20, 3, seed=10 * row + column) for column in range(3)] for row in range(4)]
    rows = [SheetRow(f"person {k // 2}\nyaw", cells[k], starts_group=k % 2 == 0) for k in range(4)]
    sheet = contact_sheet(["neutral", "smile", "blink"], rows)
    places = np.array([[found_at(sheet, cell) for cell in row] for row in cells])  # (row, column, (y, x))
    assert (places[:, :, 0] == places[:, :1, 0]).all()  # one row, one height
    assert (places[:, :, 1] == places[:1, :, 1]).all()
    assert (np.diff(places[0, :, 1]) == 20).all()
    gaps = np.diff(places[:, 0, 0]) - 20
    assert gaps[0] == gaps[2] == 0 and gaps[1] > 0  # people stand apart


def found_at(sheet: np.ndarray, cell: np.ndarray) -> tuple[int, int]:
    windows = np.lib.stride_tricks.sliding_window_view(sheet, cell.shape)[:, :, 0]
    found = np.argwhere((windows == cell).all(axis=(2, 3, 4)))
    assert len(found) == 1
    return tuple(found[0])


def test_labels_are_left_of_and_above_the_cells() -> None:
    blank = np.full((40, 40, 3), 255, np.uint8)
    sheet = contact_sheet(
        ["a very long name of an expression", "smile"], [SheetRow("seed7\nyaw +0.35", [blank] * 2)]
    )
    inked = np.argwhere(sheet.min(axis=2) < 128)
    top, left = sheet.shape[0] - 40 - 8, sheet.shape[1] - 2 * 40 - 8
    above, beside = inked[inked[:, 0] < top], inked[inked[:, 1] < left]
    assert len(above) > 20 and len(beside) > 50
    assert len(above) + len(beside) >= len(inked)  # nothing is drawn over a cell
    assert above[:, 1].min() >= left
    first_label = above[above[:, 1] < left + 40]
    assert first_label[:, 1].max() < left + 39  # shortened to its column
