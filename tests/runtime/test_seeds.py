"""Seeds that users write as numbers, ranges and lists."""

import pytest

from anifacegan.runtime.seeds import MOST_SEEDS, expanded_seeds


def test_ranges_are_written_out() -> None:
    assert expanded_seeds(4) == (4,) and expanded_seeds("2-4") == (2, 3, 4)
    assert expanded_seeds((1, "3-4", 9)) == expanded_seeds("1, 3-4,9") == (1, 3, 4, 9)


@pytest.mark.parametrize("text", ["9-3", "a", "", "1-", "1..3", f"1-{MOST_SEEDS + 1}"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"seeds has '{text}', expected a whole number, or a range"):
        expanded_seeds((1, text))
