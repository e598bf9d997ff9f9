"""What an export is asked for: known words, and the artifacts that they make. Loads no runtime and no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from exporters.artifact import Format, InputKind, Precision
from exporters.comparison import Gates
from exporters.engine_options import EngineOptions
from exporters.gates import PRECISIONS
from slrbench.errors import BadInputError

ExporterChoice = Literal["auto", "torchscript", "dynamo"]

FORMATS: tuple[Format, ...] = get_args(Format)
CPU_FORMATS: tuple[Format, ...] = ("torchscript", "onnx", "openvino")
"""What is exported unless stated otherwise: engines belong to a GPU."""
PRECISIONS_OF: dict[Format, tuple[Precision, ...]] = {
    "torchscript": ("fp32",),
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32",),
    "trt": PRECISIONS,
}
"""No runtime at hand computes a bf16 ONNX file, so none is exported; TF32 is a matter of the GPU and of no file."""
INPUT_KINDS: tuple[InputKind, ...] = get_args(InputKind)
EXPORTERS: tuple[ExporterChoice, ...] = get_args(ExporterChoice)

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """The artifacts of one export, in the order in which they are made, and what a person should know of them."""

    artifacts: tuple[tuple[Format, Precision, InputKind], ...]
    exporter: ExporterChoice
    tolerance: float
    engine: EngineOptions
    notes: tuple[str, ...] = ()

    @property
    def has_engines(self) -> bool:
        """Whether there is an engine among the artifacts."""
        return any(format == "trt" for format, _, _ in self.artifacts)


def make_plan(
    *,
    formats: Sequence[str] = CPU_FORMATS,
    input_kinds: Sequence[str] = ("float32",),
    precisions: Sequence[str] = ("fp32",),
    exporter: str = "auto",
    tolerance: float = Gates.atol,
    engine: EngineOptions | None = None,
) -> ExportPlan:
    """What these words ask for; see :func:`slrbench.workflows.export.export_model`.

    Raises:
        BadInputError: a word is not known, a format has none of the precisions, or the tolerance is out of range.
    """
    chosen = _known(formats, FORMATS, "format", "--formats")
    kinds = _known(input_kinds, INPUT_KINDS, "input", "--input")
    (exporter_choice,) = _known([exporter], EXPORTERS, "exporter", "--exporter")
    if not 0.0 <= tolerance <= Gates.atol:
        raise BadInputError(
            f"--tolerance is {tolerance:g}, expected 0 to {Gates.atol:g}",
            hint="the default is the loosest: other verdicts would look alike and not be",
        )
    artifacts, notes = _artifacts(chosen, kinds, _known(precisions, PRECISIONS, "precision", "--precision"))
    options = engine if engine is not None else EngineOptions()
    if "trt" not in chosen and options != EngineOptions():
        notes.append("the options of TensorRT engines are ignored: trt is not among --formats")
    return ExportPlan(
        artifacts=tuple(artifacts), exporter=exporter_choice, tolerance=tolerance, engine=options, notes=tuple(notes)
    )


def _artifacts(
    formats: Sequence[Format], kinds: Sequence[InputKind], precisions: Sequence[Precision]
) -> tuple[list[tuple[Format, Precision, InputKind]], list[str]]:
    """What is exported, in the order of FORMATS (OpenVINO is made from ONNX), and what a format leaves out.

    Raises:
        BadInputError: a format has none of the precisions.
    """
    plan: list[tuple[Format, Precision, InputKind]] = []
    notes = []
    for format in (each for each in FORMATS if each in formats):
        taken = [precision for precision in precisions if precision in PRECISIONS_OF[format]]
        left_out = [precision for precision in precisions if precision not in taken]
        if not taken:
            raise BadInputError(
                f"{format} has no precision {', '.join(left_out)}, expected some of {', '.join(PRECISIONS_OF[format])}",
                hint=f"--precision {','.join(PRECISIONS_OF[format])}, or leave {format} out of --formats",
            )
        if left_out:
            notes.append(f"{format} is not exported in {', '.join(left_out)}")
        plan += [(format, precision, kind) for precision in taken for kind in kinds]
    return plan, notes


def label_of(format: str, precision: str, kind: str) -> str:
    """Short name of an artifact that is not made yet: ``onnx`` or ``trt-fp16-uint8``."""
    return "-".join([format, *([] if precision == "fp32" else [precision]), *([] if kind == "float32" else [kind])])


def _known(given: Sequence[str], known: Sequence[Word], what: str, option: str) -> list[Word]:
    """The words that were given, each once, known to be among ``known``."""
    if not given:
        raise BadInputError(f"no {what} was given, expected some of {', '.join(known)}", hint=f"{option} {known[0]}")
    words = []
    for text in dict.fromkeys(given):
        word = next((each for each in known if each == text), None)
        if word is None:
            raise BadInputError(
                f"unknown {what} {text!r}, expected some of {', '.join(known)}", hint=f"{option} {known[0]}"
            )
        words.append(word)
    return words
