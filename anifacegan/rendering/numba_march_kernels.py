"""Compiled loop of :mod:`anifacegan.rendering.ray_march`, in a module of its own because importing numba takes a
second."""

from typing import no_type_check

from anifacegan.runtime.compiled import kernel


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def farthest_above(room, sample, square, falls, out):
    """Write the farthest sample that s must reach before it has fallen by ``room``; at least the next sample.

    room, sample, square and out are (ray,): how far s may fall, from which sample, in which row of ``falls`` (squares,
    intervals), the largest falls from each sample to the next; there must be a next sample.
    """
    last = falls.shape[1]
    for n in range(len(room)):
        left, i, row = room[n], sample[n], square[n]
        while i < last and falls[row, i] <= left:
            left -= falls[row, i]
            i += 1
        out[n] = max(i, sample[n] + 1)
