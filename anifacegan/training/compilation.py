"""Optional compilation of a generator's fields with ``torch.compile``; where it fails, the fields stay as they are.

The functions compiled are the fields with bound latents. Networks keep their weights and parameter names, so a run may
be compiled in one session and not in the next.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import first_line, say
from anifacegan.runtime.torch_internals import compiler_error

Backend = str | Callable[..., Any]
"""Backend of :func:`torch.compile`: a name, or a function (for tests)."""


class Compiler:
    """Compiles functions at their first call; after one failure it returns functions unchanged."""

    def __init__(self, backend: Backend = "inductor") -> None:
        self.works = True
        self._backend = backend
        self._kinds: dict[type, type] = {}

    def compiled(self, function: Callable) -> Callable:
        """Return a compiled version of a function. Where compiling fails, the version reports this once and calls the
        original function.
        """
        if not self.works:
            return function
        fast = torch.compile(function, backend=self._backend)

        def call(*arguments: Any) -> Any:
            if self.works:
                try:
                    return fast(*arguments)
                except compiler_error() as error:
                    if self.works:  # not where another thread has just reported it
                        self.works = False
                        reason = first_line(getattr(error, "inner_exception", error))
                        say(f"compile: does not work here ({reason}), going on without")
            return function(*arguments)

        return call

    def with_compiled_call(self, kind: type) -> type:
        """Return a class of bound fields like ``kind`` whose objects are called by a compiled function; all else is
        inherited.

        The class's function is compiled, not each object's: PyTorch keeps eight versions of a function's code (with
        gradients and without, of one shape and of any), and all objects would share one.
        """
        if kind not in self._kinds:
            self._kinds[kind] = type(kind.__name__, (kind,), {"__call__": self.compiled(kind.__call__)})
        return self._kinds[kind]


def compile_fields(generator: Generator, backend: Backend = "inductor") -> None:
    """Change a generator, in place, so that the functions of its fields with bound latents are compiled."""
    compiler = Compiler(backend)
    for field in (generator.template, generator.deformation, generator.alignment, generator.shading):
        if field is not None:
            field.bind = _bound_and_compiled(field.bind, compiler)
    generator.manifolds.forward = compiler.compiled(generator.manifolds.forward)


def _bound_and_compiled(bind: Callable[..., Callable], compiler: Compiler) -> Callable[..., Callable]:
    def bound(*latents: Any) -> Callable:
        field = bind(*latents)
        values = {value.name: getattr(field, value.name) for value in dataclasses.fields(field)}
        return compiler.with_compiled_call(type(field))(**values)

    return bound
