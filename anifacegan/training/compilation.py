"""``torch.compile`` for the fields of a generator, where this machine can; elsewhere they stay as they are.

Compiled is what a field computes once its codes are bound. The networks keep their weights, their names, and with them
their snapshots: a run may be compiled today and not tomorrow.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import first_line

Backend = str | Callable[..., Any]
"""What :func:`torch.compile` takes under this name."""


class Compiler:
    """Compiles functions when they are first called, until it fails once."""

    def __init__(self, backend: Backend = "inductor") -> None:
        self.works = True
        self._backend = backend

    def compiled(self, function: Callable) -> Callable:
        """The same function, faster; itself where compiling fails, which is said once on stderr."""
        if not self.works:
            return function
        fast = torch.compile(function, backend=self._backend)

        def call(*arguments: Any) -> Any:
            if self.works:
                try:
                    return fast(*arguments)
                except TorchDynamoException as error:
                    self.works = False
                    reason = first_line(getattr(error, "inner_exception", error))
                    print(f"compile: does not work here ({reason}), going on without", file=sys.stderr)
            return function(*arguments)

        return call


def compile_fields(generator: Generator, backend: Backend = "inductor") -> None:
    """From now on, what the fields of this generator compute is compiled."""
    compiler = Compiler(backend)
    for field in (generator.template, generator.deformation, generator.alignment):
        if field is not None:
            field.bind = _bound_and_compiled(field.bind, compiler)
    generator.manifolds.forward = compiler.compiled(generator.manifolds.forward)


def _bound_and_compiled(bind: Callable[..., Callable], compiler: Compiler) -> Callable[..., Callable]:
    def bound(*latents: Any) -> Callable:
        return compiler.compiled(bind(*latents))

    return bound
