"""A recording of what a page has shown: frames as they were sent, at a steady rate."""

from anifacegan.runtime.errors import InputError

FPS = 25
"""Frames per second of a film."""
MOST_S = 60.0
"""Longest recording, seconds."""
MOST_MB = 256
"""Largest sum of a recording's JPEG files, about, 10^6 bytes."""


class Recording:
    """Collects the frames that are sent to a page; a frame stays until the next one.

    Args:
        now: time at which the recording begins, seconds.
    """

    def __init__(self, now: float) -> None:
        self._begun = now
        self._frames: list[bytes] = []
        self._newest: bytes | None = None
        self._bytes = 0

    def add(self, frame: bytes, now: float) -> None:
        """Add a frame, as a JPEG file, that is shown from the time ``now``, seconds."""
        self._hold_until(now)
        self._newest = frame

    def is_full(self, now: float) -> bool:
        """Return whether the recording has reached its longest time or its largest size."""
        if self._newest is None:
            return False
        return now - self._begun >= MOST_S or self._bytes + len(self._newest) >= 1e6 * MOST_MB

    def finish(self, now: float) -> list[bytes]:
        """Return a JPEG file for each 1/FPS s up to the time ``now``, seconds.

        Raises:
            InputError: nothing was shown.
        """
        self._hold_until(now)
        if self._newest is None:
            raise InputError("the recording has no frame, expected one")
        return self._frames or [self._newest]

    def _hold_until(self, now: float) -> None:
        """Repeat the newest frame up to a time; what is before the first frame is left out."""
        if self._newest is None:
            self._begun = now
            return
        count = round(FPS * min(now - self._begun, MOST_S))
        if count > len(self._frames):
            self._frames += [self._newest] * (count - len(self._frames))  # the same bytes
            self._bytes += len(self._newest)
