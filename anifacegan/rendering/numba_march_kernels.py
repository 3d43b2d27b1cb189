"""Compiled loops of :mod:`anifacegan.rendering.ray_march`, in a module of its own because importing numba takes a
second.

``lines`` and ``rays`` are the tuples Lines and MarchingRays of that module, in which every array is described. The
fields are evaluated between these functions: one writes points of some rays, the next takes the fields' values there.
Rays that wait for a sample are listed in ``waiting``, rays that wait for the radiance of a crossing in ``crossing``;
the functions return how many entries of each list are in use.
"""

from typing import no_type_check

from anifacegan.rendering.adaptive_tracing import MIN_ALPHA, MIN_TRANSMITTANCE
from anifacegan.runtime.compiled import kernel

_OPTIONS = {"nogil": True, "error_model": "numpy"}


@kernel(**_OPTIONS)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def farthest_above(room, sample, falls):
    """Return the farthest sample that s must reach before it has fallen by ``room``; at least the next sample.

    ``falls`` (interval,) are the largest falls from each sample to the next; there must be a sample after ``sample``.
    """
    i = sample
    while i < len(falls) and falls[i] <= room:
        room -= falls[i]
        i += 1
    return max(i, sample + 1)


@kernel(**_OPTIONS)
@no_type_check
def _next_wanted(wanted, level):
    """Return the first wanted level from ``level`` on; the number of levels if there is none."""
    while level < len(wanted) and not wanted[level]:
        level += 1
    return level


@kernel(**_OPTIONS)
@no_type_check
def begin(lines, rays, waiting):
    """List the rays that look for a manifold; each waits for its first sample."""
    count = 0
    for n in range(len(rays.level)):
        rays.level[n] = _next_wanted(lines.wanted[n], 0)
        if rays.level[n] < len(lines.levels):
            waiting[count] = n
            count += 1
    return count


@kernel(**_OPTIONS)
@no_type_check
def write_samples(lines, rays, waiting, count, x):
    """Choose the next sample of each waiting ray, and write its place to ``x`` (ray, 3)."""
    for i in range(count):
        n = waiting[i]
        here, k = rays.sample[n], rays.level[n]
        there = 0
        if here >= 0:
            there = here + 1
            if here >= rays.careful[n]:
                there = farthest_above(rays.s[n] - lines.levels[k], here, lines.falls[lines.square[n]])
            there = max(there, rays.earliest[n, k])
        rays.chosen[n] = there
        for axis in range(3):
            x[i, axis] = lines.origins[n, axis] + lines.t[there] * lines.directions[n, axis]


@kernel(**_OPTIONS)
@no_type_check
def take_samples(lines, rays, waiting, count, s, delta, crossing, crossings, x):
    """Move the waiting rays to their samples, where the scalar is ``s`` and the offset ``delta``.

    A ray that falls through its level is moved to the list ``crossing``, and the place of its radiance to ``x``; one
    that has reached its last sample ends.
    """
    kept = 0
    for i in range(count):
        n = waiting[i]
        here, there, k = rays.sample[n], rays.chosen[n], rays.level[n]
        if here < 0:  # levels above the first sample are never fallen through
            while k < len(lines.levels) and s[i] < lines.levels[k]:
                k = _next_wanted(lines.wanted[n], k + 1)
            rays.level[n] = k
            if k == len(lines.levels):
                continue
        elif s[i] < lines.levels[k]:
            if there == here + 1:
                rays.s_next[n], rays.delta_next[n, 0] = s[i], delta[i, 0]
                rays.delta_next[n, 1], rays.delta_next[n, 2] = delta[i, 1], delta[i, 2]
                if _cross(lines, rays, n, x[crossings]):
                    crossing[crossings] = n
                    crossings += 1
                continue
            if there == rays.earliest[n, k]:
                rays.earliest[n, k] = 0
            else:
                rays.careful[n] = there
            waiting[kept] = n
            kept += 1
            continue
        rays.sample[n], rays.s[n] = there, s[i]
        rays.delta[n, 0], rays.delta[n, 1], rays.delta[n, 2] = delta[i, 0], delta[i, 1], delta[i, 2]
        if there < len(lines.t) - 1:
            waiting[kept] = n
            kept += 1
    return kept, crossings


@kernel(**_OPTIONS)
@no_type_check
def _cross(lines, rays, n, x):
    """Record that ray ``n`` falls through its level between its sample and the next; write the place of its radiance
    to ``x`` (3,), and return whether this place is in front of the background plane. If not, the ray ends."""
    k, sample = rays.level[n], rays.sample[n]
    fraction = (rays.s[n] - lines.levels[k]) / (rays.s[n] - rays.s_next[n])
    t = lines.t[sample] + fraction * (lines.t[sample + 1] - lines.t[sample])
    rays.distance[n, k], rays.hit[n, k], rays.interval[n, k] = t, True, sample
    if t > lines.t_background[n]:
        _leave_deeper_levels(rays, n, True)
        return False
    for axis in range(3):
        near, far = rays.delta[n, axis], rays.delta_next[n, axis]
        offset = near + fraction * (far - near)
        x[axis] = lines.origins[n, axis] + t * lines.directions[n, axis] + lines.offset_gain[0] * offset
    return True


@kernel(**_OPTIONS)
@no_type_check
def _leave_deeper_levels(rays, n, invisible):
    """Record of the levels after that of ray ``n``, which has ended, whether they are known to be invisible, and that
    no crossing with them lies before the last one found."""
    k = rays.level[n]
    for deeper in range(k + 1, rays.invisible.shape[1]):
        rays.invisible[n, deeper] = invisible
        rays.interval[n, deeper] = rays.interval[n, k]


@kernel(**_OPTIONS)
@no_type_check
def composite(lines, rays, crossing, crossings, x, rgb, alpha, waiting):
    """Composite the listed crossings, of colour ``rgb`` (crossing, 3) and opacity ``alpha``, and look for the next one.

    A crossing counts as opaque where less than 1/4096 of the light would be left behind it; the ray ends there. A ray
    that falls through another level before its next sample stays in the list ``crossing``, with that place in ``x``;
    others are listed in ``waiting``, which is empty at first.
    """
    count, kept = 0, 0
    for i in range(crossings):
        n = crossing[i]
        k, before = rays.level[n], rays.transmittance[n]
        after = before * (1 - alpha[i])
        ends = after < MIN_TRANSMITTANCE
        weight = before if ends else before * alpha[i]
        rays.transmittance[n] = 0.0 if ends else after
        for channel in range(3):
            rays.accumulated[n, channel] += weight * rgb[i, channel]
        rays.accumulated[n, 3] += weight * rays.distance[n, k]
        rays.invisible[n, k] = alpha[i] < MIN_ALPHA
        if ends:
            _leave_deeper_levels(rays, n, False)
            continue

        k = _next_wanted(lines.wanted[n], k + 1)
        rays.level[n] = k
        if k == len(lines.levels):
            continue
        if rays.s_next[n] < lines.levels[k]:
            if _cross(lines, rays, n, x[kept]):
                crossing[kept] = n
                kept += 1
            continue
        rays.sample[n] += 1
        rays.s[n] = rays.s_next[n]
        for axis in range(3):
            rays.delta[n, axis] = rays.delta_next[n, axis]
        if rays.sample[n] < len(lines.t) - 1:
            waiting[count] = n
            count += 1
    return count, kept
