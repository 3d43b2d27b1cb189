"""Private parts of PyTorch are imported by one module, so that a new PyTorch breaks one module."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = re.compile(r"\btorch(\.\w+)*\._(?!_)\w+|from torch(\.\w+)* import [^\n]*\b_\w+")


def test_private_parts_of_pytorch_are_used_in_one_module() -> None:
    users = set()
    for folder in ("anifacegan", "benchmarks", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            code = re.sub(r"torch\.__\w+__", "", path.read_text())
            if PRIVATE.search(code):
                users.add(path.relative_to(ROOT).as_posix())
    assert users == {"anifacegan/runtime/torch_internals.py"}
