"""What was measured: raw samples, word errors, load, peaks and profiles, and what was left out with its reason."""

from typing import Any, Literal

from pydantic import Field

from slrbench.records.base import Interval, ParityWord, Record


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
        default=None,
        description="time with one clip repeated / with clips never seen: the shortest of some calls, median of pairs",
    )
    caches: bool = Field(default=False, description="repeating one clip is faster by more than 10 %")


class PixelsToGlosses(Record):
    """Calls from the bytes of a video to glosses: decode, resize, network from host to host, CTC decoding.

    A call takes as many frames of the video as a clip of the candidate has.
    """

    video: str = Field(description="name of the file")
    video_sha256: str
    source_height: int = Field(description="of the video's frames, pixels")
    source_width: int
    samples_s: tuple[float, ...] = Field(description="seconds of each call, in order")
    round_of: tuple[int, ...] = Field(description="the round after which each was taken: the last of its process")
    process_of: tuple[int, ...]
    parts_s: dict[str, float] = Field(
        description="decode, resize, network, ctc: the median of each over the calls of a process, and over processes"
    )
    labels: tuple[int, ...] = Field(description="class indices that the last call decoded to")


class Measurement(Record):
    """Raw samples of one candidate and the conditions they were taken under."""

    candidate: Candidate
    requested: dict[str, Any]
    actual: dict[str, Any]
    compute_s: tuple[float, ...] = Field(description="run + synchronize, in order")
    end_to_end_s: tuple[float, ...] = Field(description="stage + run + synchronize + fetch, the same calls")
    round_of: tuple[int, ...] = Field(description="round in which each sample was taken")
    process_of: tuple[int, ...] = Field(default=(), description="which of the candidate's processes took each sample")
    turn_of: tuple[int, ...] = Field(
        default=(), description="turn of its round in which each sample was taken; other candidates' turns lay between"
    )
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
        default_factory=dict,
        description="bytes of the device: engine, context, buffers; peak and reserved, the most but for first calls at "
        "a shape; first_call, the most in those; process, the most that the driver counted after a round",
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
    parallel: tuple[ParallelRun, ...] = Field(default=(), description="offline throughput, by requests in flight")
    energy: Energy | None = Field(default=None, description="null: not asked for")
    output_check: OutputCheck | None = Field(default=None, description="null: nothing to compare with")
    pixels: PixelsToGlosses | None = Field(default=None, description="null: not asked for, or not measured")
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
    decoder: str = Field(default="greedy", description="``greedy``, or ``beam:10`` with the settings of the search")
    scoring: str = Field(default="plain", description="name of the clean-up of references and hypotheses")
    alignment: Literal["unit", "sclite"] = Field(
        default="unit",
        description="costs by which words are aligned: ``unit``, or ``sclite`` with substitution 4, gap 3",
    )
    other_alignment: ErrorCounts | None = Field(
        default=None, description="the same words by the other alignment; null: not counted"
    )
    unknown_words: int | None = Field(
        default=None, description="reference words that the network has no class for; null: not counted"
    )
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
