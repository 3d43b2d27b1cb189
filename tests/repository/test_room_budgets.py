"""Every room with tests has a budget, and the table says where it is exceeded."""

from pathlib import Path

from tests.fixtures.room_budgets import BUDGET_S, budget_table, seconds_by_room

TESTS = Path(__file__).resolve().parents[1]


def test_every_folder_of_tests_has_a_budget_within_six_minutes_on_two_cores() -> None:
    rooms = {path.parts[len(TESTS.parts)] for path in TESTS.glob("*/**/test_*.py")}
    assert rooms == BUDGET_S.keys() and sum(BUDGET_S.values()) <= 2 * 360


def test_the_table_sums_by_room_and_marks_what_is_over() -> None:
    durations = [
        ("tests/losses/test_a.py::b", 9.0),
        ("tests/losses/test_a.py::c", 8.0),
        ("tests/data/d.py::e", 1.0),
    ]
    seconds = seconds_by_room(durations)
    assert seconds == {"data": 1.0, "losses": 17.0}
    head, data, losses, total = budget_table(seconds)
    assert "over" not in data and losses.endswith("over budget") and total.split()[:2] == ["all", "18"]
