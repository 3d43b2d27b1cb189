"""Exports in tests: few and small views decide what is visible."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _small_views() -> Iterator[None]:
    from anifacegan.avatars.export import visible_part  # after pytest has set up the checks of shapes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visible_part, "VIEW_SIZE", 64)
        yield
