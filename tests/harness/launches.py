"""Triton in tests: compiled where there is a GPU, interpreted elsewhere, and every launch of a kernel on record.

A class that is called a kernel and computes in torch gives the right numbers. `Launches` sees the difference: it notes
each launch with the programs of its grid, and which of torch's own operations ran meanwhile.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch.utils._python_dispatch import TorchDispatchMode


def interpret_without_gpu() -> None:
    """Choose Triton's interpreter where no NVIDIA card is; must come before anything imports Triton.

    Triton's own library of functions is decorated when it is imported, as the learner's kernels are when theirs is.
    """
    if not Path("/dev/nvidiactl").exists():
        os.environ.setdefault("TRITON_INTERPRET", "1")


@dataclass
class Launches(TorchDispatchMode):
    """While it is entered: the kernels that were launched, and torch's operations outside of them."""

    programs: list[int] = field(default_factory=list)
    """For each launch, how many programs its grid has."""
    operations: set[str] = field(default_factory=set)
    """Names of torch's operations, such as `bmm`."""

    def __post_init__(self) -> None:
        super().__init__()
        self._patches = ExitStack()
        self._is_inside = False

    def __enter__(self) -> "Launches":
        from triton.runtime.interpreter import InterpretedFunction
        from triton.runtime.jit import JITFunction

        for kind in (InterpretedFunction, JITFunction):
            self._patches.enter_context(patch.object(kind, "run", self._noting(kind.run)))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    def _noting(self, run: Any) -> Any:
        def noted(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
            if warmup:
                return run(kernel, *args, grid=grid, warmup=warmup, **options)
            if isinstance(grid, (tuple, list)):
                self.programs.append(prod(grid))
                return self._launch(run, kernel, *args, grid=grid, warmup=warmup, **options)

            def sized(meta: Any) -> Any:
                size = grid(meta)
                self.programs.append(prod(size))
                return size

            return self._launch(run, kernel, *args, grid=sized, warmup=warmup, **options)

        return noted

    def _launch(self, run: Any, *args: Any, **options: Any) -> Any:
        was, self._is_inside = self._is_inside, True  # the interpreter itself works on copies of tensors
        try:
            return run(*args, **options)
        finally:
            self._is_inside = was

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not self._is_inside:
            self.operations.add(func.name().split("::")[1].split(".")[0])
        return func(*args, **(kwargs or {}))
