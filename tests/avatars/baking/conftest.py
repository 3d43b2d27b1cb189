"""Baking in tests: few and small views decide what is visible."""

import pytest


@pytest.fixture(autouse=True)
def _small_views(monkeypatch: pytest.MonkeyPatch) -> None:
    from anifacegan.avatars.baking import visibility  # after pytest has set up the checks of shapes

    monkeypatch.setattr(visibility, "VIEW_SIZE", 48)
