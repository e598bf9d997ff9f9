"""What is derived from it and written into a report: rows, comparisons, the decision."""

from typing import Any, Literal

from pydantic import Field

from slrbench.records.base import BoundBy, FloorState, Interval, ParityWord, Record, Scope, SpeedVerdict
from slrbench.records.measured import Accuracy, Environment, ErrorCounts, LoadRun, MachinePeak, Measurement, Skipped

REPORT_SCHEMA_VERSION = 4


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
    measurement: int | None = Field(default=None, description="index into measurements; null in older reports")
    machine: str = Field(default="", description="which machine, in a report merged from several; else empty")
    p50_interval: Interval | None = Field(default=None, description="of p50_s, bootstrap over rounds")
    p50_unmarked_s: float | None = Field(default=None, description="p50_s without the samples that are marked")
    marked_samples: int = 0
    p90_bound_s: float | None = Field(default=None, description="MLPerf's upper bound of p90 (early stopping, 99 %)")
    p95_bound_s: float | None = None
    p99_bound_s: float | None = None
    compressed_bytes: int | None = None
    steady_rss_bytes: int | None = None
    joules_per_clip: float | None = None
    wer_interval: Interval | None = None
    outputs_doubt: str = Field(
        default="", description="what is wrong with the outputs of timed calls, in words; empty where nothing is known"
    )
    streams: int | None = Field(default=None, description="25 fps streams sustained with p99 under the bound")
    peak_share: float | None = Field(default=None, description="share of what the machine can reach here, 0 .. 1")
    bound_by: BoundBy | None = None


class Comparison(Record):
    """A row against the baseline, paired by turn, or by round where the two took no turns with each other."""

    row: int = Field(description="index into summary")
    baseline: int = Field(description="index into summary: same scope and shape")
    ratio: Interval = Field(description="time of the row / time of the baseline; below 1 is faster")
    verdict: SpeedVerdict
    more_rounds: int | None = Field(default=None, description="rounds that UNCLEAR would still need, estimated")


class NoiseFloor(Record):
    """The baseline against itself (A/A): what this session cannot tell apart."""

    ratio: Interval = Field(description="second copy / first copy, end to end, paired as comparisons are")
    threshold: float = Field(description="practical threshold, a share such as 0.02")
    valid: bool | None = Field(
        description="true: the copies agree to 10 %; false: they differ, or may differ by more; null: not known"
    )
    state: FloorState | None = Field(
        default=None,
        description="unknown: too few rounds; invalid: the copies differ by more than the threshold; unresolved, "
        "coarse, good: they agree to more than 10 %, to 5 to 10 %, to under 5 %; null: an older report",
    )
    rounds: int | None = Field(default=None, description="in how many rounds both copies were measured")


class ScalingFit(Record):
    """How a figure grows along one axis, all else equal: least squares, ``value = intercept + slope * axis``."""

    row: int = Field(description="index into summary of one of its rows, which names the candidate")
    axis: Literal["frames", "batch", "threads", "size"]
    figure: Literal["p50_s", "peak_rss_bytes"]
    points: tuple[tuple[float, float], ...] = Field(description="(axis value, figure)")
    intercept: float
    slope: float = Field(description="seconds or bytes for one more frame, clip, thread or pixel of height")
    r_squared: float | None = None


class Rejection(Record):
    """Why a row does not enter the decision, or is not recommended."""

    row: int = Field(description="index into summary")
    reason: str


class Sensitivity(Record):
    """At which value of a limit the choice changes, and to what."""

    limit: str = Field(description="name of the requirement, such as ``max_p99_ms``")
    value: float = Field(description="in the requirement's unit")
    direction: Literal["below", "above"]
    row: int | None = Field(description="index into summary of the choice there; null: nothing is feasible")


class Decision(Record):
    """The Pareto front over latency, WER and size, and one recommendation."""

    scope: Scope
    pareto: tuple[int, ...] = Field(description="indices into summary")
    recommended: int | None = Field(description="index into summary; null: nothing can be recommended")
    reason: str
    rejected: tuple[Rejection, ...] = ()
    requirements: dict[str, float | str] = Field(default_factory=dict, description="limits that were set, by name")
    objective: Literal["latency", "throughput", "size", "wer"] = "latency"
    runner_up: int | None = Field(default=None, description="index into summary: what would be taken without the first")
    front_share: dict[int, float] = Field(
        default_factory=dict, description="row to the share of resamples in which it is on the front, 0 .. 1"
    )
    sensitivity: tuple[Sensitivity, ...] = ()
    nearest_miss: int | None = Field(default=None, description="where nothing is feasible: the row that misses least")
    shortfall: float | None = Field(
        default=None, description="by how much the nearest miss misses its worst limit, as a share of the limit"
    )
    choice_share: dict[int, float] = Field(
        default_factory=dict, description="row to the share of resamples in which it is what is recommended, 0 .. 1"
    )
    uncertain: tuple[Rejection, ...] = Field(
        default=(), description="rows of which an interval holds a limit: whether they meet it is not certain"
    )


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
    """report.json. ``summary`` and what follows it are derived from ``measurements`` and written for other programs."""

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
    baseline: int | None = Field(
        default=None, description="index into measurements of what the others are compared with"
    )
    control: Measurement | None = Field(
        default=None, description="the baseline measured a second time as if it were another candidate (A/A)"
    )
    peaks: tuple[MachinePeak, ...] = ()
    load: tuple[LoadRun, ...] = ()
    summary: tuple[SummaryRow, ...] = ()
    noise_floor: NoiseFloor | None = None
    comparisons: tuple[Comparison, ...] = ()
    scaling: tuple[ScalingFit, ...] = ()
    decision: Decision | None = None
    machines: dict[str, Environment] = Field(
        default_factory=dict, description="in a report merged from several: name of the machine to what it is"
    )
    decisions: dict[str, Decision] = Field(
        default_factory=dict, description="in a report merged from several: machine to decision; ``decision`` is null"
    )
    tables: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="further tables by title (distillation ablation), one object per row"
    )
    notes: tuple[str, ...] = ()
