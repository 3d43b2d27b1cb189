"""Baking in tests: few and small views decide what is visible."""

import pytest


@pytest.fixture(autouse=True)
def _small_views(monkeypatch: pytest.MonkeyPatch) -> None:
    from anifacegan.avatars.baking import visible_cells  # after pytest has set up the checks of shapes

    monkeypatch.setattr(visible_cells, "VIEW_SIZE", 48)
