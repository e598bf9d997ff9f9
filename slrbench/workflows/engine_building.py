"""Engines of a checkpoint: built from its typed graphs, judged where they can run, described where they cannot."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from exporters.artifact import (
    Artifact,
    InputKind,
    InvarianceResult,
    ManifestEntry,
    ParityVerdict,
    Precision,
    describe_files,
)
from exporters.cuda_driver import device_word
from exporters.engine_options import EngineOptions, Range, target_name
from exporters.gates import gates_for
from exporters.input_adapter import tensor_specs
from exporters.parity_cases import inputs_within
from exporters.tensorrt_library import Library
from exporters.to_tensorrt import engine_from_onnx
from slrbench.data.batching import normalise
from slrbench.measure.clock import perf_counter_ns
from slrbench.measure.environment import gpu_names
from slrbench.measure.sampling import timed_call
from slrbench.runners.open import open_runner
from slrbench.workflows.artifact_metadata import file_name
from slrbench.workflows.engine_target import EngineTarget
from slrbench.workflows.judging import run_on
from slrbench.workflows.typed_graphs import Graph, Graphs, graph_precision

Progress = Callable[[str, int, int], None]

STATIC_PROFILE = "a static profile gives what the dynamic one gives"
CHOOSING_CALLS = 30
"""Timed calls by which the fastest of several builds is chosen; no benchmark."""


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One of several builds of the same engine."""

    path: Path
    sha256: str
    size_bytes: int
    built_with: dict[str, Any]
    parity: ParityVerdict | None
    latency_s: float | None

    @property
    def rank(self) -> tuple[bool, float, int]:
        """The best build comes first: parity not failed, then fastest, then smallest."""
        return self.parity is not None and not self.parity.passed, self.latency_s or 0.0, self.size_bytes


class EngineBuilder:
    """Builds engines of one checkpoint with one library."""

    def __init__(self, graphs: Graphs, target: EngineTarget) -> None:
        """Build nothing yet."""
        self._graphs = graphs
        self.library = target.library
        self._capabilities = target.capabilities
        self._options = target.options
        self.not_run_because = target.not_run_because

    def build(self, folder: Path, precision: Precision, kind: InputKind, progress: Progress | None) -> ManifestEntry:
        """Build one engine into ``folder``, as often as the options say, and keep the best.

        Raises:
            ExporterError: the graph or the engine cannot be made.
            SlrbenchError: an engine cannot be loaded.
            OSError: a file cannot be written.
        """
        graph = self._graphs.get(graph_precision(precision), kind)
        name = engine_name(self.library, self._capabilities, precision, kind)
        builds = [
            self._build_once(folder, f"{index}.{name}", graph, precision, kind, progress)
            for index in range(self._options.builds)
        ]
        best = min(builds, key=lambda build: build.rank)
        best.path.replace(folder / name)
        for build in builds:
            build.path.unlink(missing_ok=True)
        files, sha256, size = describe_files(folder, [name])
        card = self._graphs.card
        height, width = card.frame_size
        inputs, outputs = tensor_specs(kind, height=height, width=width, num_classes=card.spec.num_classes)
        artifact = Artifact(
            format="trt",
            precision=precision,
            input_kind=kind,
            target=target_name(self.library.name, self._capabilities),
            files=files,
            sha256=sha256,
            built_from_sha256=card.weights_sha256,
            size_bytes=size,
            inputs=inputs,
            outputs=outputs,
            built_with={
                **best.built_with,
                "gpu": None if self.library.is_rtx else self._gpu(),
                "onnx": {**graph.built_with, "sha256": graph.sha256},
                **({"builds": _spread(builds, best)} if len(builds) > 1 else {}),
            },
        )
        return ManifestEntry(
            artifact=artifact, parity=best.parity, not_run_because=self.not_run_because, network_parity=graph.parity
        )

    def _build_once(
        self,
        folder: Path,
        name: str,
        graph: Graph,
        precision: Precision,
        kind: InputKind,
        progress: Progress | None,
        *,
        options: EngineOptions | None = None,
    ) -> _Build:
        began = perf_counter()  # for the record; a build is not a measurement
        path = folder / name

        def tell(phase: str, done: int, total: int) -> None:
            if progress is not None and phase == "Building engine":  # the outermost; the others nest in it
                progress(f"building {name.partition('.')[2]} with {self.library.name}", done, total)

        built_with = engine_from_onnx(
            graph.path,
            path,
            library=self.library,
            precision=precision,
            frame_size=self._graphs.card.frame_size,
            options=options or self._options,
            progress=tell,
        )
        build_s = round(perf_counter() - began, 3)
        _, sha256, size = describe_files(folder, [name])
        parity, latency_s = None, None
        if not self.not_run_because and options is None:
            parity, latency_s = self._judge(folder, name, sha256, graph, precision, kind, built_with)
        return _Build(
            path=path,
            sha256=sha256,
            size_bytes=size,
            built_with={**built_with, "build_s": build_s},
            parity=parity,
            latency_s=latency_s,
        )

    def _judge(
        self,
        folder: Path,
        name: str,
        sha256: str,
        graph: Graph,
        precision: Precision,
        kind: InputKind,
        built_with: dict[str, Any],
    ) -> tuple[ParityVerdict, float]:
        """Parity of the engine on this GPU, and a first impression of its latency in seconds."""
        runner = self._open(folder / name, sha256, precision, kind)
        try:
            verdict = self._graphs.judge(
                runner,
                precision,
                kind,
                sha256=sha256,
                backend=self.library.name,
                machine=self._gpu() or "",
                built_with=built_with,
            )
            taken = inputs_within(self._graphs.reference.inputs, built_with)
            item = next(item for item in taken if item.source == "clips")
            video = item.video if kind == "uint8" else normalise(item.video)
            dynamic = run_on(runner, video)
            latency = median(timed_call(runner, video, perf_counter_ns)[0] for _ in range(CHOOSING_CALLS))
        finally:
            runner.close()
        static = self._static_output(folder, graph, precision, kind, item.shape, video)
        return _with_invariance(verdict, _compare_profiles(static, dynamic, precision)), latency

    def _static_output(
        self, folder: Path, graph: Graph, precision: Precision, kind: InputKind, shape: tuple[int, int], video: Any
    ) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """What an engine gives whose profile has this one shape: a dynamic profile may choose faulty kernels."""
        batch, frames = shape
        options = replace(
            self._options,
            batch=Range(min=batch, opt=batch, max=batch),
            frames=Range(min=frames, opt=frames, max=frames),
        )
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            suffix = ".rtx.engine" if self.library.is_rtx else ".engine"
            built = self._build_once(Path(scratch), f"0.static{suffix}", graph, precision, kind, None, options=options)
            runner = self._open(built.path, built.sha256, precision, kind)
            try:
                return run_on(runner, video)
            finally:
                runner.close()

    def _gpu(self) -> str | None:
        """Name, memory and driver of the GPU that engines are built for and judged on."""
        return next(iter(gpu_names()[self._options.device :]), None)

    def _open(self, path: Path, sha256: str, precision: Precision, kind: InputKind) -> Any:
        return open_runner(
            "trt",
            path,
            device=device_word(self._options.device),
            threads=1,
            input_kind=kind,
            precision=precision,
            expected_sha256=sha256,
        )


def engine_name(library: Library, capabilities: tuple[str, ...], precision: Precision, kind: InputKind) -> str:
    """``model.fp16.sm86-sm89.rtx.engine``: every engine says in its name what it computes in and where it runs."""
    targets = "-".join(f"sm{each.replace('.', '')}" for each in capabilities)
    extension = f"{targets}.rtx.engine" if library.is_rtx else f"{targets}.engine"
    name = file_name(extension, kind, precision)
    return name if precision != "fp32" else name.replace(f".{extension}", f".fp32.{extension}")


def _compare_profiles(static: Any, dynamic: Any, precision: Precision) -> InvarianceResult:
    gates = gates_for(precision)
    tolerance = gates.invariance_atol if gates.invariance_atol is not None else gates.atol
    error = float(np.abs(static - dynamic).max()) if static.shape == dynamic.shape else None
    passed = error is not None and error <= tolerance  # False for NaN
    why = "" if passed else f"outputs differ by up to {error}, allowed {tolerance:g}"
    return InvarianceResult(name=STATIC_PROFILE, max_abs_error=error, tolerance=tolerance, passed=passed, why=why)


def _with_invariance(verdict: ParityVerdict, found: InvarianceResult) -> ParityVerdict:
    reasons = verdict.reasons if found.passed else (*verdict.reasons, f"{found.name}: {found.why}")
    update = {"invariances": (*verdict.invariances, found), "reasons": reasons, "passed": not reasons}
    return verdict.model_copy(update=update)


def _spread(builds: list[_Build], best: _Build) -> dict[str, Any]:
    """What several builds of the same engine have in common and what not, in the order they were built."""
    return {
        "count": len(builds),
        "kept": builds.index(best),
        "sha256": [build.sha256 for build in builds],
        "size_bytes": [build.size_bytes for build in builds],
        "engine_build_s": [build.built_with["engine_build_s"] for build in builds],
        "latency_s": [build.latency_s for build in builds],
        "max_abs_error": [build.parity.max_abs_error if build.parity else None for build in builds],
        "parity_passed": [build.parity.passed if build.parity else None for build in builds],
    }
