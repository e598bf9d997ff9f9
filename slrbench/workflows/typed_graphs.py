"""The network as a typed ONNX graph: fp32, fp16, bf16, or int8 with Q/DQ pairs; each once, with its parity.

Engines are built from these graphs, and the fp16 and int8 ones are ONNX artifacts of their own. A graph's parity is
checked on what is at hand on any machine: ONNX Runtime's CPU provider, which computes an fp16 graph with casts and an
int8 graph with its own integer kernels. It lacks bf16: there torch runs the typed module, and the verdict, which says
so, is the module's and no ONNX file's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.artifact import InputKind, ParityVerdict, Precision, WerDifference, describe_files
from exporters.gates import WER_ALLOWED_INT8, gates_for
from exporters.input_adapter import EXAMPLE_SHAPE, example_video
from exporters.parity import check_parity
from exporters.to_onnx import OnnxExporter, onnx_from_module
from exporters.typed_network import TypedNetwork
from slrbench.data.batching import normalise
from slrbench.data.corpus import Corpus, Vocabulary, readable_clips
from slrbench.evaluation import evaluate
from slrbench.models.ctc_head import Recogniser
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner
from slrbench.training.card import CheckpointCard
from slrbench.workflows.artifact_metadata import metadata_of
from slrbench.workflows.judging import cases_for, run_on, with_wer_difference
from slrbench.workflows.parity_reference import Reference

GraphPrecision = Literal["fp32", "fp16", "bf16", "int8"]
BF16_OPSET = 22
HALF_EXAMPLE_SHAPE = (2, 4)
"""B and T that half-precision networks are traced with: a CPU computes them some twenty times slower than fp32."""

CALIBRATION_CLIPS = 16
WER_SPLIT = "dev"
WER_CLIPS = 100
WER_BATCH = 8
MODULE_IN_TORCH = "torch: the module was compared, the ONNX graph was not run"
"""The backend of a bf16 graph's verdict."""
_BF16_STEPS = 60
"""Frames times clips of a parity case that torch still computes in bf16 on a CPU in reasonable time."""


def graph_precision(precision: Precision) -> GraphPrecision:
    """The graph that an engine of ``precision`` is built from: TF32 is a builder's flag on an fp32 graph."""
    return "fp32" if precision == "tf32" else precision


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A typed ONNX file and what is known of it; of bf16, ``parity`` is that of the module that it was made from."""

    path: Path
    sha256: str
    built_with: dict[str, Any]
    parity: ParityVerdict


@dataclass
class Graphs:
    """Makes the typed graphs of one checkpoint, each once, into ``folder``."""

    model: Recogniser
    card: CheckpointCard
    reference: Reference
    corpus: Corpus
    folder: Path
    exporter: OnnxExporter = "torchscript"
    _made: dict[tuple[GraphPrecision, InputKind], Graph] = field(default_factory=dict, init=False)
    _reference_wer: float | None = field(default=None, init=False)

    def get(self, precision: GraphPrecision, kind: InputKind) -> Graph:
        """The graph, made and checked where it is not there yet.

        Raises:
            ExporterError: it cannot be exported or quantised.
            SlrbenchError: ONNX Runtime cannot load it.
            OSError: a file cannot be written.
        """
        key = (precision, kind)
        if key not in self._made:
            self._made[key] = self._make(precision, kind)
        return self._made[key]

    def _make(self, precision: GraphPrecision, kind: InputKind) -> Graph:
        path = self.folder / f"graph.{kind}.{precision}.onnx"
        module: nn.Module = self.model
        if precision == "int8":
            from exporters.quantize import quantize_onnx

            source = self.get("fp32", kind)
            built_with = source.built_with | quantize_onnx(
                source.path, path, calibration=self._calibration(kind), method="minmax"
            )
        else:
            if precision != "fp32":
                module = TypedNetwork(self.model, precision)
            height, width = self.card.frame_size
            shape = EXAMPLE_SHAPE if precision == "fp32" else HALF_EXAMPLE_SHAPE
            built_with = onnx_from_module(
                module,
                path,
                example_video=example_video(kind, height=height, width=width, shape=shape),
                input_kind=kind,
                metadata=metadata_of(self.card, kind, precision),
                exporter=self.exporter,
                cast_first=True,
                convert_to_opset=BF16_OPSET if precision == "bf16" else None,
            )
        _, sha256, _ = describe_files(self.folder, [path.name])
        parity = self._check_typed_module(module) if precision == "bf16" else self._check(path, precision, kind)
        return Graph(path=path, sha256=sha256, built_with=built_with, parity=parity)

    def _calibration(self, kind: InputKind) -> Sequence[NDArray[Any]]:
        """Training clips, spread over the split, one by one as the graph takes them."""
        split = self.corpus.split("train")
        count = min(CALIBRATION_CLIPS, len(split))
        spread = (index * len(split) // count for index in range(count))
        clips = [clip.frames[None] for _, clip in readable_clips(split, spread)]
        return clips if kind == "uint8" else [normalise(clip) for clip in clips]

    def _check(self, path: Path, precision: GraphPrecision, kind: InputKind) -> ParityVerdict:
        _, sha256, _ = describe_files(path.parent, [path.name])
        runner = open_runner(
            "onnx", path, threads=torch.get_num_threads(), input_kind=kind, precision=precision, expected_sha256=sha256
        )
        try:
            return self.judge(runner, precision, kind, sha256=sha256, backend="onnx")
        finally:
            runner.close()

    def _check_typed_module(self, module: nn.Module) -> ParityVerdict:
        def infer(frames: NDArray[Any]) -> NDArray[np.float32]:
            with torch.inference_mode():
                log_probs: NDArray[np.float32] = module(torch.from_numpy(normalise(frames))).numpy()
            return log_probs

        inputs = [item for item in self.reference.inputs if item.shape[0] * item.shape[1] <= _BF16_STEPS]
        return check_parity(
            self.reference,
            infer,
            inputs,
            artifact_sha256="",
            backend=MODULE_IN_TORCH,
            reference_name=self.reference.name,
            gates=gates_for("bf16"),
            gates_name="bf16",
            export_shape=EXAMPLE_SHAPE,
        )

    def judge(
        self,
        runner: Runner,
        precision: Precision,
        kind: InputKind,
        *,
        sha256: str,
        backend: str,
        machine: str = "",
        built_with: Mapping[str, Any] | None = None,
    ) -> ParityVerdict:
        """Parity of an opened file with the gates of its precision; of int8 the word error rate, too.

        ``built_with`` holds an engine's profile, which may not take every case.
        """
        inputs, asked = cases_for(self.reference.inputs, built_with or {})

        def candidate(frames: NDArray[Any]) -> NDArray[np.float32]:
            return run_on(runner, frames if kind == "uint8" else normalise(frames))

        verdict = check_parity(
            self.reference,
            candidate,
            inputs,
            artifact_sha256=sha256,
            backend=backend,
            reference_name=self.reference.name,
            gates=gates_for(precision),
            gates_name=precision,
            machine=machine,
            **asked,
        )
        if precision != "int8":
            return verdict
        most = (built_with or {}).get("profile", {}).get("batch", [WER_BATCH])[-1]
        return self._with_wer(verdict, runner, kind, batch=min(WER_BATCH, most))

    def _with_wer(self, verdict: ParityVerdict, runner: Runner, kind: InputKind, *, batch: int) -> ParityVerdict:
        split, vocabulary = self.corpus.split(WER_SPLIT), Vocabulary(glosses=self.card.glosses)
        if self._reference_wer is None:

            def reference(video: NDArray[Any]) -> NDArray[np.float32]:
                with torch.inference_mode():
                    log_probs: NDArray[np.float32] = self.model(torch.from_numpy(video)).numpy()
                return log_probs

            self._reference_wer = evaluate(reference, split, vocabulary, batch=WER_BATCH, limit=WER_CLIPS).wer
        found = evaluate(
            lambda video: run_on(runner, video), split, vocabulary, batch=batch, limit=WER_CLIPS, input_kind=kind
        )
        return with_wer_difference(
            verdict,
            WerDifference(
                split=WER_SPLIT,
                clips=found.clips,
                reference=self._reference_wer,
                candidate=found.wer,
                allowed=WER_ALLOWED_INT8,
            ),
        )
