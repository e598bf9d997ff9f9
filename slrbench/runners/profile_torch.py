"""Time per operator of torch and TorchScript, from torch's own profiler."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from slrbench.records import OperatorTime
from slrbench.runners.open import open_runner
from slrbench.runners.profiling import Call
from slrbench.runners.torch_module import ModuleRunner

_MODULE = "slrbench.module/"
_CALL = "slrbench.call"
_OF_TORCHSCRIPT = "forward"
"""The range around the graph of a scripted module: what is called directly in it is what the graph consists of."""


class TorchProfiler:
    """One module, run with torch's profiler; of an eager one each module's call is a named range."""

    def __init__(self, backend: str, path: Path, options: dict[str, Any]) -> None:
        """Open it once: the profiler is switched on around calls."""
        self.source = f"torch {torch.__version__}, torch.profiler"
        runner = open_runner(backend, path, **options)
        assert isinstance(runner, ModuleRunner)
        self.plain = self.profiled = runner

    def operators(self, videos: Sequence[NDArray[Any]], call: Call) -> list[OperatorTime]:
        """Run every video once. An operator is what a module calls directly; what that calls in turn is its time."""
        module = self.profiled.module
        handles = _name_ranges(module) if isinstance(module, nn.Module) else []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's profiler warns of itself where there is no GPU
                with profile(activities=[ProfilerActivity.CPU]) as profiler:
                    for video in videos:
                        with record_function(_CALL):
                            call(self.profiled, video)
        finally:
            for handle in handles:
                handle.remove()
        return _operators(profiler.events() or [], calls=len(videos))

    def close(self) -> None:
        """Let go of the module."""
        self.plain.close()


def _name_ranges(module: nn.Module) -> list[Any]:
    """Hooks that put a range of the module's name around every module's forward."""
    handles: list[Any] = []
    for name, each in module.named_modules():
        if isinstance(each, torch.jit.ScriptModule) or not name:
            continue
        ranges: list[Any] = []

        def enter(_: nn.Module, __: Any, *, name: str = name, ranges: list[Any] = ranges) -> None:
            ranges.append(record_function(_MODULE + name))
            ranges[-1].__enter__()

        def leave(_: nn.Module, __: Any, ___: Any, *, ranges: list[Any] = ranges) -> None:
            ranges.pop().__exit__(None, None, None)

        handles += [each.register_forward_pre_hook(enter), each.register_forward_hook(leave)]
    return handles


def _operators(events: Sequence[Any], *, calls: int) -> list[OperatorTime]:
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for event in events:
        parent = event.cpu_parent
        if _is_range(event) or parent is None or not _is_range(parent):
            continue
        key = _module(parent), event.name.removeprefix("aten::")
        spent, count = found.get(key, (0.0, 0))
        found[key] = spent + event.cpu_time_total, count + 1
    return [
        OperatorTime(
            name=f"{module}/{kind}" if module else kind, kind=kind, module=module, seconds=microseconds / calls / 1e6
        )
        for (module, kind), (microseconds, _) in found.items()
    ]


def _is_range(event: Any) -> bool:
    name: str = event.name
    return name in (_CALL, _OF_TORCHSCRIPT) or name.startswith(_MODULE)


def _module(event: Any) -> str:
    return str(event.name.removeprefix(_MODULE)) if event.name.startswith(_MODULE) else ""


def open_profiler(
    backend: str, path: Path, *, device: str, threads: int, input_kind: str, precision: str
) -> TorchProfiler:
    """A profiler of a checkpoint's folder, or of a ``.torchscript`` file."""
    options = {"device": device, "threads": threads, "input_kind": input_kind, "precision": precision}
    return TorchProfiler(backend, path, options)
