"""What torch computes in on a CUDA device: TF32 on or off, half precision by autocast, compiled or eager."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from slrbench.errors import RunFailedError
from slrbench.runners.options import COMPILE_MODES

_CUDNN: Any = torch.backends.cudnn  # torch puts its switches there when it is loaded: no checker sees them
_AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}
Module = Callable[[torch.Tensor], torch.Tensor]


def set_tf32(allowed: bool) -> None:
    """Let convolutions, recurrent layers and matrix products of this process round to TF32, or none of them.

    torch has two interfaces to these switches, and reading the older one raises where only the newer was set. Its
    compiler reads the older one, ours is the newer; so both are set, the older first, since it writes the newer's.

    Raises:
        RunFailedError: torch then says something else.
    """
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
    word = "tf32" if allowed else "ieee"
    _CUDNN.conv.fp32_precision = word
    _CUDNN.rnn.fp32_precision = word
    torch.backends.cuda.matmul.fp32_precision = word
    if set(tf32_switches().values()) != {word}:
        raise RunFailedError(f"torch was told {word} for every operator and says {tf32_switches()}")


def tf32_switches() -> dict[str, str]:
    """What torch says of convolutions, recurrent layers and matrix products: ``ieee`` or ``tf32``."""
    return {
        "conv": str(_CUDNN.conv.fp32_precision),
        "rnn": str(_CUDNN.rnn.fp32_precision),
        "matmul": str(torch.backends.cuda.matmul.fp32_precision),
    }


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context in which a module computes in ``precision``: autocast for fp16 and bf16, none for the others."""
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


def computed_precision(device: torch.device, precision: str) -> dict[str, Any]:
    """What torch does with a matrix product under ``precision``, by looking at one: ``precision``, ``tf32``."""
    one = torch.ones(8, 8, device=device)
    with torch.inference_mode(), autocast(device, precision):
        product = (one @ one).dtype
    names = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    switches = tf32_switches()
    single = "tf32" if set(switches.values()) == {"tf32"} else "fp32"
    return {"precision": names.get(product, single), "autocast": product in names, "tf32": switches}


class CompiledModule:
    """A module under ``torch.compile``; what the compiler made of it is in :meth:`describe` after the first call."""

    def __init__(self, module: Module, variant: str) -> None:
        """Wrap the module; it is compiled in its first call at a shape."""
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        # Beyond its limit of recompilations torch would go on eagerly, under the compiled label.
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        # Parity and word errors take many shapes, each a graph or three of its own; torch's limit is 8.
        torch._dynamo.config.recompile_limit = 256
        torch._dynamo.config.accumulated_recompile_limit = 1024
        self.mode = COMPILE_MODES[variant]
        self._compiled: Module = torch.compile(module, mode=self.mode)

    def __call__(self, video: torch.Tensor) -> torch.Tensor:
        """The module's output."""
        if self.mode != "default":
            # Each call is a step of its own: outputs of the one before may be overwritten, fetch has copied them.
            torch.compiler.cudagraph_mark_step_begin()
        return self._compiled(video)

    def describe(self) -> dict[str, Any]:
        """Graphs compiled, places where the compiler gave up and Python went on, and CUDA graphs that it refused."""
        counters = torch._dynamo.utils.counters
        return {
            "compile_mode": self.mode,
            "compiled_graphs": counters["stats"]["unique_graphs"],
            "graph_breaks": sum(counters["graph_break"].values()),
            "cuda_graphs_refused": counters["inductor"]["cudagraph_skips"],
        }
