"""Numbers that users write as text: the one conversion of texts to numbers.

Python would also read 1_000 as 1000, and the digits of every script.
"""

import re

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NO_NUMBERS = {"inf", "infinity", "nan"}


def real_number_of(text: str) -> float:
    """Return the number that a text is, with or without spaces around it; also inf and nan, for their own messages.

    Raises:
        ValueError: it is none.
    """
    if not _NUMBER.fullmatch(text.strip()) and text.strip().lower().lstrip("+-") not in _NO_NUMBERS:
        raise ValueError(f"{text[:40]!r} is no number")
    return float(text)
