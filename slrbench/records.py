"""What is measured and reported, as frozen records with a JSON round trip. Loads no runtime.

Seconds and bytes everywhere; ``None`` where a figure is not known, never zero.

report.json, format history
    1: first version.
    2: precision, variant and device of accuracies and rows; device time, device memory and the GPU's state of
       measurements; engines without a verdict. Version 1 is read: what it has not is left empty.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT_SCHEMA_VERSION = 2

ParityWord = Literal["passed", "failed", "not run"]
Scope = Literal["compute", "end_to_end"]


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckResult(Record):
    """One line of ``slrbench verify``."""

    name: str
    passed: bool
    figure: str = Field(description="the figure that the check looked at, for people, with its unit")
    hint: str | None = Field(default=None, description="what to do, where it failed")


class Candidate(Record):
    """One thing to measure: a file, on a runtime, at a shape. Everything unlike stays apart by this key."""

    model: str = Field(description="model id, or ``untrained teacher:width=1,size=224``")
    backend: Literal["torch", "torchscript", "onnx", "openvino", "trt"]
    format: str = Field(description="checkpoint, torchscript, onnx, openvino, trt")
    precision: str = "fp32"
    variant: str = Field(
        default="",
        description="another way to run the same file: a torch.compile mode, an execution provider, cuda-graph; "
        "empty: the runtime's usual one",
    )
    device: str = "cpu"
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    frames: int = Field(ge=1)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    input_kind: Literal["float32", "uint8"] = "float32"
    path: str = Field(description="the file that the runner opens; in reports as seen from where the command ran")
    artifact_sha256: str
    size_bytes: int
    parameters: int | None = None
    macs: int | None = Field(default=None, description="multiply-accumulates of one call at this batch and frames")
    parity: ParityWord = "not run"
    untrained: bool = Field(default=False, description="random weights, measured for speed only")


class Environment(Record):
    """The machine and the versions under which something was measured."""

    hostname: str = Field(default="", description="left empty, since reports are published")
    platform: str
    python: str
    cpu: str
    cpu_logical_cores: int
    cpu_physical_cores: int | None
    memory_bytes: int
    gpus: tuple[str, ...] = ()
    versions: dict[str, str] = Field(description="package name to version")
    load_average_1m: float | None = None
    created_at: str = Field(description="ISO 8601, UTC")
    notes: tuple[str, ...] = ()


class Measurement(Record):
    """Raw samples of one candidate and the conditions they were taken under."""

    candidate: Candidate
    requested: dict[str, Any]
    actual: dict[str, Any]
    compute_s: tuple[float, ...] = Field(description="run + synchronize, in order")
    end_to_end_s: tuple[float, ...] = Field(description="stage + run + synchronize + fetch, the same calls")
    round_of: tuple[int, ...] = Field(description="round in which each sample was taken")
    process_of: tuple[int, ...] = Field(default=(), description="which of the candidate's processes took each sample")
    warmup_s: tuple[float, ...] = ()
    warmup_steady: bool = False
    throughput_calls: int = Field(default=0, description="calls of the throughput pass")
    throughput_s: float = Field(default=0.0, description="wall time of that pass, calls back to back")
    cold_start_s: float | None = Field(
        default=None, description="import of the runtime, load and first call, in a fresh process"
    )
    cold_start_parts_s: dict[str, float] = Field(default_factory=dict, description="import, load, first call")
    peak_rss_bytes: int | None = Field(
        default=None, description="peak resident memory of a process that imports only that runtime"
    )
    device_s: tuple[float, ...] = Field(
        default=(), description="device time of run by events on its stream, the same calls; empty on a CPU"
    )
    device_memory_bytes: dict[str, int] = Field(
        default_factory=dict, description="device memory by what holds it: engine, context, buffers, peak"
    )
    gpu: dict[str, Any] = Field(
        default_factory=dict, description="state of the GPU before and after each round; empty on a CPU"
    )
    warnings: tuple[str, ...] = ()


class ErrorCounts(Record):
    """Word errors against references, over a corpus."""

    substitutions: int
    deletions: int
    insertions: int
    reference_words: int

    @property
    def wer(self) -> float:
        """(S + D + I) / N; may exceed 1."""
        return (self.substitutions + self.deletions + self.insertions) / self.reference_words


class Accuracy(Record):
    """Word error rate of one very file (by hash) on one split."""

    model: str
    backend: str
    precision: str = "fp32"
    variant: str = ""
    device: str = "cpu"
    artifact_sha256: str
    input_kind: Literal["float32", "uint8"] = "float32"
    height: int | None = Field(default=None, description="of the frames that were evaluated; null: not known")
    width: int | None = None
    split: str
    data: str = Field(description="corpus spec")
    data_fingerprint: str
    clips: int
    counts: ErrorCounts
    wer: float = Field(description="0 .. , a share, not percent")
    sequences_wrong: int = Field(description="clips whose decoded sequence is not the reference")


class Skipped(Record):
    """A candidate that was not measured, with the reason."""

    model: str
    backend: str
    precision: str
    variant: str = ""
    device: str
    reason: str
    parity: ParityWord | None = Field(default=None, description="where the file was left out for its verdict")


class SummaryRow(Record):
    """One row of the report's table, the part that other programs read."""

    model: str
    backend: str
    format: str
    precision: str
    variant: str = ""
    device: str
    threads: int
    batch: int
    frames: int
    height: int
    width: int
    input_kind: str = "float32"
    scope: Scope
    p50_s: float
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    mean_s: float
    device_p50_s: float | None = Field(default=None, description="median device time by events; null on a CPU")
    samples: int
    throughput_clips_per_s: float | None
    frames_per_s: float | None
    real_time_factor: float | None = Field(
        description="seconds of 25 fps video per second of computing; above 1 is faster"
    )
    cold_start_s: float | None
    peak_rss_bytes: int | None
    device_memory_bytes: int | None = Field(
        default=None,
        description="the most device memory that the process held, as the driver counts it; the runtime's own peak "
        "where the driver does not say; null on a CPU",
    )
    size_bytes: int
    parameters: int | None
    macs: int | None
    wer: float | str | None = Field(description="a share; ``untrained`` for random weights; null where not evaluated")
    wer_split: str | None
    parity: ParityWord
    artifact_sha256: str


class Rejection(Record):
    """Why a row does not enter the decision, or is not recommended."""

    row: int = Field(description="index into summary")
    reason: str


class Decision(Record):
    """The Pareto front over latency, WER and size, and one recommendation."""

    scope: Scope
    pareto: tuple[int, ...] = Field(description="indices into summary")
    recommended: int | None = Field(description="index into summary; null: nothing can be recommended")
    reason: str
    rejected: tuple[Rejection, ...] = ()


class TrainingFigures(Record):
    """What training gave for one checkpoint, as the report repeats it."""

    model: str
    role: Literal["teacher", "student"]
    parameters: int
    train_seconds: float | None = None
    overfit_wer: float | None = None
    dev: ErrorCounts | None = None
    test: ErrorCounts | None = None
    test_signers: ErrorCounts | None = None
    controls: dict[str, float] = Field(
        default_factory=dict, description="WER of control runs: blank video, shuffled frames"
    )
    checks_passed: bool | None = None


class Report(Record):
    """report.json. ``summary`` and ``decision`` are derived from ``measurements`` and written for other programs."""

    schema_version: int = REPORT_SCHEMA_VERSION
    title: str
    created_at: str
    command: str = ""
    environment: Environment
    training: tuple[TrainingFigures, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    verdicts: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="artifact sha256 to its parity verdict, as in the manifest, with model, format, precision, target "
        "and input_kind; ``<sha256> <device> <precision> <variant>`` to one that the benchmark itself gave, with "
        "backend, device, variant and ``judged_here``",
    )
    skipped: tuple[Skipped, ...] = ()
    not_run: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="engines whose parity was not run: model, precision, input_kind, target, artifact_sha256, because, "
        "and network_parity, the verdict of the graph that the engine was built from",
    )
    measuring: dict[str, Any] = Field(
        default_factory=dict, description="how it was measured: settings, seed, order of candidates in each round"
    )
    summary: tuple[SummaryRow, ...] = ()
    decision: Decision | None = None
    tables: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="further tables by title (distillation ablation), one object per row"
    )
    notes: tuple[str, ...] = ()
