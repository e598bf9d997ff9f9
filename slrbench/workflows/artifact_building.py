"""One artifact of a checkpoint: built, described, and compared with the network on its own runtime.

There may be several ways to build one; the first whose file passes parity is taken, and what was tried before it is
recorded in ``built_with``.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.artifact import (
    Artifact,
    ExporterError,
    Format,
    InputKind,
    ManifestEntry,
    ParityVerdict,
    Precision,
    describe_files,
)
from exporters.input_adapter import EXAMPLE_SHAPE, example_video, tensor_specs
from exporters.parity import Gates, check_parity
from exporters.to_onnx import OnnxExporter, onnx_from_module
from exporters.to_openvino import openvino_from_onnx
from exporters.to_torchscript import torchscript_from_module
from slrbench.data.batching import normalise
from slrbench.errors import SlrbenchError, UnavailableError
from slrbench.models.ctc_head import Recogniser
from slrbench.runners.open import open_runner
from slrbench.training.card import CheckpointCard
from slrbench.workflows.artifact_metadata import file_name, metadata_of
from slrbench.workflows.export_plan import ExporterChoice
from slrbench.workflows.parity_reference import Reference
from slrbench.workflows.typed_graphs import Graphs, graph_precision

_EXTENSIONS: dict[Format, tuple[str, ...]] = {
    "torchscript": ("torchscript",),
    "onnx": ("onnx",),
    "openvino": ("openvino.xml", "openvino.bin"),
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to build an artifact."""

    name: str
    exporter: OnnxExporter = "torchscript"
    freeze: bool = True


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds the artifacts of one checkpoint into ``folder``, and keeps what one of them needs of another."""

    model: Recogniser
    card: CheckpointCard
    reference: Reference
    folder: Path
    graphs: Graphs
    exporter: ExporterChoice = "auto"
    tolerance: float = Gates.atol
    _onnx: dict[InputKind, tuple[Path, ManifestEntry]] = field(default_factory=dict, init=False)

    def build(self, format: Format, kind: InputKind) -> ManifestEntry:
        """Build and check one artifact; its files are in ``folder``.

        Returns:
            The first variant that passes parity; where none does, the first that could be built, with its verdict.

        Raises:
            ExporterError: no variant could be built; the error is the first one's.
            SlrbenchError: the file cannot be loaded by its runtime, or the runtime is not available here.
            OSError: a file cannot be written.
        """
        best: ManifestEntry | None = None
        first_error: ExporterError | SlrbenchError | None = None
        tried: list[str] = []
        for variant in _variants(format, self.exporter):
            scratch = Path(tempfile.mkdtemp(dir=self.folder))
            try:
                entry = self._build_variant(scratch, format, kind, variant, tried)
            except UnavailableError:
                raise
            except (ExporterError, SlrbenchError) as error:
                first_error = first_error or error
                tried.append(f"{variant.name}: {error.message}")
                continue
            passed = entry.parity_word == "passed"
            if best is None or passed:
                best = entry
                for file in entry.artifact.files:
                    (scratch / file.name).replace(self.folder / file.name)
            if passed:
                break
            tried.append(f"{variant.name}: parity failed: {summarise_reasons(entry.parity)}")
        if best is None:
            assert first_error is not None  # there is at least one variant
            raise first_error
        return best

    def build_typed_onnx(self, precision: Precision, kind: InputKind) -> ManifestEntry:
        """The typed graph of ``precision`` as an ONNX artifact: fp16 or int8, with the verdict of its own run.

        Raises:
            ExporterError: it cannot be exported or quantised.
            SlrbenchError: ONNX Runtime cannot load it.
            OSError: a file cannot be written.
        """
        began = perf_counter()
        graph = self.graphs.get(graph_precision(precision), kind)
        name = file_name("onnx", kind, precision)
        shutil.copyfile(graph.path, self.folder / name)
        files, sha256, size = describe_files(self.folder, [name])
        height, width = self.card.frame_size
        inputs, outputs = tensor_specs(kind, height=height, width=width, num_classes=self.card.spec.num_classes)
        artifact = Artifact(
            format="onnx",
            precision=precision,
            input_kind=kind,
            files=files,
            sha256=sha256,
            built_from_sha256=self.card.weights_sha256,
            size_bytes=size,
            inputs=inputs,
            outputs=outputs,
            built_with={**graph.built_with, "build_s": round(perf_counter() - began, 3)},
        )
        return ManifestEntry(artifact=artifact, parity=graph.parity)

    def remember_onnx(self, kind: InputKind, path: Path, entry: ManifestEntry) -> None:
        """Let the OpenVINO artifact of that input be converted from this file."""
        self._onnx[kind] = (path, entry)

    def _build_variant(
        self, folder: Path, format: Format, kind: InputKind, variant: Variant, tried: Sequence[str]
    ) -> ManifestEntry:
        began = perf_counter()  # for the record and the table; a build is not a measurement
        names = [file_name(extension, kind) for extension in _EXTENSIONS[format]]
        built_with = self._write(folder / names[0], format, kind, variant)
        built = perf_counter()
        files, sha256, size = describe_files(folder, names)
        verdict = self._check(folder / names[0], format, kind, sha256)
        height, width = self.card.frame_size
        inputs, outputs = tensor_specs(kind, height=height, width=width, num_classes=self.card.spec.num_classes)
        artifact = Artifact(
            format=format,
            input_kind=kind,
            files=files,
            sha256=sha256,
            built_from_sha256=self.card.weights_sha256,
            size_bytes=size,
            inputs=inputs,
            outputs=outputs,
            built_with={
                **built_with,
                "build_s": round(built - began, 3),
                "parity_s": round(perf_counter() - built, 3),
                **({"tried_before": list(tried)} if tried else {}),
            },
        )
        return ManifestEntry(artifact=artifact, parity=verdict)

    def _write(self, path: Path, format: Format, kind: InputKind, variant: Variant) -> dict[str, Any]:
        """Write one artifact; returns what it was built with."""
        if format == "torchscript":
            example, metadata = self._example(kind), metadata_of(self.card, kind)
            return torchscript_from_module(
                self.model, path, example_video=example, input_kind=kind, metadata=metadata, freeze=variant.freeze
            )
        if format == "onnx":
            return self._write_onnx(path, kind, variant)
        onnx_path, onnx_entry = self._onnx.get(kind, (path.with_suffix(".onnx"), None))
        if onnx_entry is not None and onnx_entry.artifact.built_with["exporter"] == variant.exporter:
            onnx_built_with = onnx_entry.artifact.built_with
        else:
            onnx_path = path.with_suffix(".onnx")
            onnx_built_with = self._write_onnx(onnx_path, kind, variant)
        built_with = openvino_from_onnx(onnx_path, path, metadata=metadata_of(self.card, kind))
        return {**built_with, "onnx": onnx_built_with}

    def _write_onnx(self, path: Path, kind: InputKind, variant: Variant) -> dict[str, Any]:
        return onnx_from_module(
            self.model,
            path,
            example_video=self._example(kind),
            input_kind=kind,
            metadata=metadata_of(self.card, kind),
            exporter=variant.exporter,
        )

    def _example(self, kind: InputKind) -> torch.Tensor:
        height, width = self.card.frame_size
        return example_video(kind, height=height, width=width)

    def _check(self, path: Path, format: Format, kind: InputKind, sha256: str) -> ParityVerdict:
        """Parity of one file on its own runtime, at torch's thread count."""
        threads = torch.get_num_threads()
        runner = open_runner(format, path, threads=threads, input_kind=kind, expected_sha256=sha256)

        def candidate(frames: NDArray[Any]) -> NDArray[np.float32]:
            pending = runner.run(runner.stage(frames if kind == "uint8" else normalise(frames)))
            runner.synchronize()
            return runner.fetch(pending)

        try:
            return check_parity(
                self.reference,
                candidate,
                self.reference.inputs,
                artifact_sha256=sha256,
                backend=format,
                reference_name=self.reference.name,
                gates=Gates(atol=self.tolerance, rtol=self.tolerance),
                export_shape=EXAMPLE_SHAPE,
            )
        finally:
            runner.close()


def summarise_reasons(verdict: ParityVerdict | None, most: int = 2) -> str:
    """The first reasons of a failed verdict, and how many more there are."""
    if verdict is None:
        return "parity was not run"
    more = len(verdict.reasons) - most
    return "; ".join(verdict.reasons[:most]) + (f"; and {more} more in the manifest" if more > 0 else "")


def _variants(format: Format, exporter: ExporterChoice) -> tuple[Variant, ...]:
    if format == "torchscript":
        return (Variant(name="frozen"), Variant(name="not frozen", freeze=False))
    by: tuple[OnnxExporter, ...] = ("torchscript", "dynamo") if exporter == "auto" else (exporter,)
    return tuple(Variant(name=f"exporter {each}", exporter=each) for each in by)
