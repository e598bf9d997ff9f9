"""What is measured and reported, as frozen records with a JSON round trip. Loads no runtime.

Seconds and bytes everywhere; ``None`` where a figure is not known, never zero.

report.json, format history
    1: first version.
    2: precision, variant and device of accuracies and rows; device time, device memory and the GPU's state of
       measurements; engines without a verdict. Version 1 is read: what it has not is left empty.
    3: the baseline measured twice, marked samples, intervals, comparisons, the machine's peaks, load scenarios and
       streams, errors of each clip. Versions 1 and 2 are read: what they have not is left empty.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT_SCHEMA_VERSION = 3

ParityWord = Literal["passed", "failed", "not run"]
Scope = Literal["compute", "end_to_end"]
SpeedVerdict = Literal["FASTER", "SLOWER", "SAME", "UNCLEAR"]
FloorState = Literal["unknown", "invalid", "unresolved", "coarse", "good"]
BoundBy = Literal["compute", "memory", "overhead"]


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float
    confidence: float = Field(default=0.95, description="0 .. 1, two-sided")


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
    traffic_bytes: int | None = Field(
        default=None,
        description="bytes that one call must move at least: weights once, and what each layer reads and writes",
    )
    input_kind: Literal["float32", "uint8"] = "float32"
    path: str = Field(description="the file that the runner opens; in reports as seen from where the command ran")
    artifact_sha256: str
    size_bytes: int
    compressed_bytes: int | None = Field(default=None, description="the files through zlib, as a download would be")
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
    marks: dict[str, tuple[int, ...]] = Field(
        default_factory=dict,
        description="indices of samples that were taken under contention, by what was seen: ``steal``, ``run queue``, "
        "``switched out``, ``throttled``, ``other programs``, ``foreign GPU work``; no sample is ever left out",
    )
    steady_rss_bytes: int | None = Field(
        default=None, description="resident memory after a round, with one clip: the most over rounds and processes"
    )
    cold_starts: tuple[dict[str, float], ...] = Field(
        default=(), description="import, load and first call (s) of every fresh process, in order"
    )
    parallel: tuple["ParallelRun", ...] = Field(default=(), description="offline throughput, by requests in flight")
    energy: "Energy | None" = Field(default=None, description="null: not asked for")
    output_check: "OutputCheck | None" = Field(default=None, description="null: nothing to compare with")
    warnings: tuple[str, ...] = ()


class ParallelRun(Record):
    """Offline throughput: calls as fast as they come, several requests in flight."""

    requests: int = Field(ge=1, description="requests in flight")
    calls: int
    seconds: float = Field(description="wall time from the first call's start to the last one's end")


class Energy(Record):
    """Energy over back-to-back calls, from the machine's own counters."""

    source: str = Field(default="", description="``RAPL package``, ``NVML``")
    joules: float | None = None
    calls: int = 0
    seconds: float = 0.0
    unavailable: str = Field(default="", description="why there is none, such as ``not available here: no RAPL``")


class OutputCheck(Record):
    """Outputs of sampled timed calls against the reference, and what one clip over and over does to the time."""

    compared_with: str = Field(description="what the outputs were compared with, in words")
    calls: int = Field(description="timed calls whose output was compared")
    max_abs_error: float | None = Field(default=None, description="largest absolute difference of log-probabilities")
    decoded_alike: bool | None = Field(default=None, description="whether all decode to the same glosses")
    passed: bool
    repeated_ratio: float | None = Field(
        default=None, description="median time with one clip repeated / with clips in rotation"
    )
    caches: bool = Field(default=False, description="repeating one clip is faster by more than 10 %")


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
    clip_errors: tuple[int, ...] = Field(
        default=(), description="errors (S + D + I) of each clip, in the split's order"
    )
    clip_words: tuple[int, ...] = Field(default=(), description="reference words of each clip")
    decoded: tuple[tuple[str, ...], ...] = Field(default=(), description="glosses decoded from each clip")
    wer_interval: Interval | None = Field(default=None, description="bootstrap over clips")
    against: str = Field(default="", description="SHA-256 of the fp32 checkpoint that it is compared with")
    wer_difference: Interval | None = Field(
        default=None, description="WER minus the fp32 checkpoint's on the same clips, paired bootstrap over clips"
    )
    agreement: float | None = Field(
        default=None, description="share of clips that decode as with the fp32 checkpoint, 0 .. 1"
    )


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
    """A row against the baseline, paired by round."""

    row: int = Field(description="index into summary")
    baseline: int = Field(description="index into summary: same scope and shape")
    ratio: Interval = Field(description="time of the row / time of the baseline; below 1 is faster")
    verdict: SpeedVerdict
    more_rounds: int | None = Field(default=None, description="rounds that UNCLEAR would still need, estimated")


class NoiseFloor(Record):
    """The baseline against itself (A/A): what this session cannot tell apart."""

    ratio: Interval = Field(description="second copy / first copy, end to end, paired by round")
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


class MachinePeak(Record):
    """What this machine reaches by itself, measured in the same run."""

    device: str = "cpu"
    threads: int
    precision: str = "fp32"
    flops_per_s: float | None = Field(description="of a large matrix product; two per multiply-accumulate")
    bytes_per_s: float | None = Field(description="of a stream copy, read and written bytes together")
    how: str = Field(default="", description="library and sizes")


class OperatorTime(Record):
    """One operator of one artifact, as the runtime's own profiler times it."""

    name: str = Field(description="the runtime's name of the node, layer or range")
    kind: str = Field(description="its type, such as ``Conv``")
    implementation: str = Field(default="", description="the kernel that was chosen, where the runtime says so")
    module: str = Field(default="", description="the network's module, such as ``head.lstm``; empty: no module's own")
    seconds: float = Field(description="of one call: the mean over the profiled calls")


class Profile(Record):
    """Where the time of one call goes."""

    backend: str
    device: str
    threads: int
    batch: int
    frames: int
    height: int
    width: int
    input_kind: str
    artifact_sha256: str
    model: str
    calls: int
    plain_s: float = Field(description="median time of a call without the profiler, host to host")
    profiled_s: float = Field(description="median time of a call with it")
    profiler: str = Field(description="whose figures these are")
    operators: tuple[OperatorTime, ...]


class LoadRun(Record):
    """One load scenario of one candidate."""

    candidate: Candidate
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline", "streams"]
    settings: dict[str, Any] = Field(default_factory=dict)
    valid: bool = Field(description="whether the scenario's own conditions were met")
    figure: float | None = Field(
        description="SingleStream, MultiStream: latency (s) at its percentile; Server, Offline: clips per second; "
        "streams: how many are sustained"
    )
    percentiles_s: dict[str, float] = Field(
        default_factory=dict, description="p50, p90, p95, p99 from intended arrival"
    )
    samples: int = 0
    loadgen: dict[str, Any] = Field(default_factory=dict, description="LoadGen's own result; empty for streams")
    files: tuple[str, ...] = Field(default=(), description="LoadGen's log files, relative to the report's folder")
    points: tuple[dict[str, float], ...] = Field(
        default=(), description="what the search tried: rate or streams, p99_s, and whether it was within the bound"
    )
    reason: str = Field(default="", description="why it is not valid, or has no figure")


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
