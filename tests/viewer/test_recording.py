"""A recording holds each frame until the next one."""

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.viewer.recording import FPS, MOST_MB, MOST_S, Recording


def test_a_frame_stays_until_the_next_one() -> None:
    recording = Recording(10.0)
    recording.add(b"a", 12.0)  # what is before the first frame is left out
    recording.add(b"b", 12.2)
    recording.add(b"c", 12.2)  # replaced at once
    recording.add(b"d", 12.4)
    assert recording.finish(12.8) == [b"a"] * 5 + [b"c"] * 5 + [b"d"] * 10


def test_a_film_has_a_frame_at_least_and_one_each_step_at_most() -> None:
    recording = Recording(0.0)
    for k in range(1000):
        recording.add(b"%d" % k, 0.001 * k)
    assert len(recording.finish(1.0)) == FPS
    short = Recording(0.0)
    short.add(b"a", 0.0)
    assert short.finish(0.001) == [b"a"]


def test_a_recording_ends_by_itself() -> None:
    recording = Recording(0.0)
    recording.add(b"a", 0.0)
    assert not recording.is_full(MOST_S - 1) and recording.is_full(MOST_S)
    assert len(recording.finish(10 * MOST_S)) == FPS * MOST_S


def test_a_recording_of_large_frames_ends_by_itself() -> None:
    recording, frame, now = Recording(0.0), bytes(10**7), 0.0
    while not recording.is_full(now):
        recording.add(frame + b"%d" % int(now * FPS), now)
        now += 1 / FPS
    assert MOST_MB / 10 - 2 <= len(recording.finish(now)) <= MOST_MB / 10 + 2
    held = Recording(0.0)
    held.add(frame, 0.0)
    held.add(frame, MOST_S / 2)  # what is only held takes no more memory
    assert not held.is_full(MOST_S / 2)


def test_a_recording_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="the recording has no frame"):
        Recording(0.0).finish(5.0)
