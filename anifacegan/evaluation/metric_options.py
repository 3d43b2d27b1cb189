"""Which metrics each option of the commands ``evaluate`` and ``compare`` has an effect on.

The remaining options hold for every run: what is measured, and where its images and networks come from.
"""

from collections.abc import Collection
from typing import Any

from anifacegan.runtime.errors import require_unused

EMBEDDED = ("embedding_frechet", "recognition", "disentanglement")
"""Metrics that need a face embedder, a network that turns a face into an identity vector."""
JUDGED = ("frechet", "expression", "identity", "smoothness", *EMBEDDED)
"""Metrics that need the judge, a face regressor; it is also what says where embedders find faces."""
_FRECHET = ("frechet", "embedding_frechet")
_PEOPLE = ("identity", "recognition", "disentanglement")
USERS: dict[str, tuple[str, ...]] = {
    "judge": JUDGED,
    "embedder": EMBEDDED,
    "trust_torchscript": EMBEDDED,
    "inception_weights": ("inception",),
    "inception_count": ("inception",),
    "batch": ("inception", *JUDGED, "detection"),
    "size": ("inception", *JUDGED, "view_consistency", "detection"),
    "count": ("expression", *_FRECHET),
    "people": _PEOPLE,
    "expressions": _PEOPLE,
    "mesh_faces": ("deformation",),
    "consistency_faces": ("view_consistency",),
    "ramps": ("smoothness",),
    "frames": ("smoothness",),
    "detected_people": ("detection",),
    "detected_expressions": ("detection",),
    "bootstrap": _FRECHET,
}
"""Option -> the metrics that use it."""


def require_used(config: Any, metrics: Collection[str]) -> None:
    """Require that options of a command that none of the chosen metrics uses were left at their defaults.

    Raises:
        ConfigError: one was not; the message names it, and the metrics that use it.
    """
    for option, users in USERS.items():
        if not set(users).intersection(metrics):
            require_unused(config, f"without a metric that uses it: {', '.join(users)}", option)
