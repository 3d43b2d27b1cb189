"""The files of ``scripts/`` as modules, to call them in this process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def load_script(name: str) -> ModuleType:
    """Run ``scripts/NAME.py`` as a module, but for its ``main``; anew each time."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module                                         # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
