"""The largest counts that options may have, and the memory that a process may use.

A count of steps costs time only, and may be as large as a number can usefully be. A count of things that lie in memory
together has a limit of its own, here by the name that it has in every configuration; what several counts need
together is compared with the memory by :func:`anifacegan.runtime.errors.require_memory`.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path

LARGEST_COUNT = 10**9
"""Largest number of steps and the like, which cost time but no memory."""
LARGEST_SEED = 2**63 - 1
"""Largest seed: the largest signed whole number of 64 bits."""
LARGEST_PSI = 4.0
"""Largest size of the truncation psi, of which 1 is the full variety of people: 70 was meant as a percentage."""
LARGEST = {
    "batch": 2**16,
    "rays": 2**26,
    "paired_rays": 2**26,
    "near_samples": 4096,
    "complete_samples": 4096,
    "near_levels": 1024,
    "mesh_faces": 10**6,
    "mesh_points": 10**7,
    "prior_faces": 10**6,
    "points": 10**7,
    "images": 2**16,
    "held_out": 10**6,
    "preview_size": 2048,
    "sheet_size": 2048,
    "sheet_people": 1000,
    "size": 4096,
    "count": 10**7,
    "inception_count": 10**7,
    "people": 10**6,
    "expressions": 10**4,
    "appearances": 10**4,
    "consistency_faces": 10**6,
    "ramps": 10**5,
    "frames": 10**5,
    "detected_people": 10**6,
    "detected_expressions": 10**4,
    "bootstrap": 10**6,
    "draws": 10**6,
    "drawn": 1000,
    "columns": 1000,
    "resolution": 1024,
    "threads": max(64, os.cpu_count() or 1),
    "keep_snapshots": 10**4,
    **dict.fromkeys(("psi", "psi_a", "psi_b"), LARGEST_PSI),
}
"""Largest value of the counts on which memory depends, and of psi, by the name of the option."""
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files in which Linux says how much memory a container may use."""


def largest(name: str) -> int | float:
    """Return the largest value of a count or seed by the name of its option."""
    return LARGEST_SEED if "seed" in name else LARGEST.get(name, LARGEST_COUNT)


def memory_bytes() -> int:
    """Return how much memory this process may use: that of the machine, of its container, or ``ulimit -v``."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP:
        with suppress(OSError, ValueError):  # no such limit
            found.append(int(path.read_text()))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        found.append(soft)
    return min(found)
