"""What a TensorRT engine is built for and how: shapes, target GPUs and the builder's settings. Loads no library.

The names are those of TensorRT. Shapes: B clips, T frames.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from exporters.artifact import ExporterError

BuilderName = Literal["tensorrt", "tensorrt-rtx"]
BuilderChoice = Literal["auto", "tensorrt", "tensorrt-rtx"]
HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]

BUILDER_CHOICES: tuple[BuilderChoice, ...] = get_args(BuilderChoice)
HARDWARE_COMPATIBILITIES: tuple[HardwareCompatibility, ...] = get_args(HardwareCompatibility)
RTX_COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Those that TensorRT-RTX 1.7 can build for; there is none of a data centre's Hopper or Blackwell among them."""

DEFAULT_RTX_COMPUTE_CAPABILITIES = ("8.6", "8.9")
"""RTX 30 and 40."""


MOST_OF_A_RANGE = 10_000
"""The largest batch or length that makes sense: some seven minutes of video."""

TENSOR_VALUES = 2**31 - 1
"""What a tensor of TensorRT may hold."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Smallest, most usual and largest size of an axis; kernels are chosen for the usual one."""

    min: int
    opt: int
    max: int

    @classmethod
    def parse(cls, text: str, *, option: str) -> "Range":
        """``8`` (this size only), ``1:8`` (the usual is the largest) or ``1:4:8``.

        Raises:
            ExporterError: it is none of these, not in order, or goes beyond ``MOST_OF_A_RANGE``.
        """
        ways = f"{option} 8 for this size only, {option} 1:8 for min:max, {option} 1:4:8 for min:opt:max"
        match = re.fullmatch(r"(\d{1,18})(?::(\d{1,18}))?(?::(\d{1,18}))?", text.strip())
        if match is None:
            raise _bad(f"{option} {text!r} is not a range, expected min:opt:max in whole numbers", ways)
        numbers = [int(group) for group in match.groups() if group is not None]
        low, usual, high = {1: numbers * 3, 2: [numbers[0], numbers[-1], numbers[-1]], 3: numbers}[len(numbers)]
        if not 1 <= low <= usual <= high:
            raise _bad(f"{option} {text!r} is not in order, expected min:opt:max with 1 <= min <= opt <= max", ways)
        if high > MOST_OF_A_RANGE:
            raise _bad(
                f"{option} {text!r} goes up to {high}, expected min:opt:max with max at most {MOST_OF_A_RANGE}",
                f"an engine holds memory for its largest shape: cut long videos, {option} "
                f"{min(low, MOST_OF_A_RANGE)}:{min(usual, 64)}:256",
            )
        return cls(min=low, opt=usual, max=high)

    def as_list(self) -> list[int]:
        """Min, opt, max."""
        return [self.min, self.opt, self.max]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Everything that decides what engine is built but the network and its precision."""

    builder: BuilderChoice = "auto"
    batch: Range = field(default_factory=lambda: Range(min=1, opt=1, max=8))
    frames: Range = field(default_factory=lambda: Range(min=1, opt=64, max=256))
    compute_capabilities: tuple[str, ...] = ()
    """Of TensorRT-RTX's targets, such as ``8.6``; empty: 8.6 and 8.9. TensorRT builds for the GPU that it finds."""
    builder_optimization_level: int | None = None
    """0 .. 5; None: the library's default, 3."""
    workspace_bytes: int | None = None
    """Scratch memory that a layer may use; None: as much as the GPU has."""
    max_aux_streams: int | None = None
    """Streams beside the caller's; 0: one stream, which makes timings most comparable; None: the library decides."""
    version_compatible: bool = False
    """Whether later versions of TensorRT may load the engine."""
    hardware_compatibility: HardwareCompatibility = "none"
    timing_cache: Path | None = None
    """Where TensorRT keeps what it measured of kernels; None: nothing is kept. TensorRT-RTX measures nothing."""
    device: int = 0
    """Number of the GPU in CUDA's order that TensorRT builds for, and that engines are judged on."""
    builds: int = 1
    """How often each engine is built; of several the best is kept."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ExporterError: a value cannot be used.
        """
        level = self.builder_optimization_level
        if level is not None and not 0 <= level <= 5:
            raise _bad(f"--optimization-level is {level}, expected 0 to 5", "--optimization-level 3")
        if self.builds < 1:
            raise _bad(f"--builds is {self.builds}, expected at least 1", "--builds 3")
        if self.max_aux_streams is not None and self.max_aux_streams < 0:
            raise _bad(f"--aux-streams is {self.max_aux_streams}, expected 0 or more", "--aux-streams 0")
        if self.workspace_bytes is not None and self.workspace_bytes < 1 << 20:
            mebibytes = f"{self.workspace_bytes / (1 << 20):.6g}"
            raise _bad(f"--workspace-mb is {mebibytes}, expected at least 1", "--workspace-mb 1024")
        if self.builder not in BUILDER_CHOICES:
            raise _bad(f"unknown builder {self.builder!r}", f"--builder takes {', '.join(BUILDER_CHOICES)}")
        if self.builder != "auto":
            self.check_builder(self.builder)
        if self.hardware_compatibility not in HARDWARE_COMPATIBILITIES:
            raise _bad(
                f"unknown hardware compatibility {self.hardware_compatibility!r}",
                f"--hardware-compatibility takes {', '.join(HARDWARE_COMPATIBILITIES)}",
            )
        unknown = [each for each in self.compute_capabilities if each not in RTX_COMPUTE_CAPABILITIES]
        if unknown and self.builder != "tensorrt":
            raise _bad(
                f"TensorRT-RTX cannot build for compute capability {unknown[0]}, expected some of "
                f"{', '.join(RTX_COMPUTE_CAPABILITIES)}",
                "--compute-capability 86,89",
            )

    def check_builder(self, builder: BuilderName, *, chosen: str = "") -> None:
        """Return where nothing was asked for that this library cannot do.

        Args:
            builder: the library.
            chosen: why it is this one, where it was not asked for by name.

        Raises:
            ExporterError: something was.
        """
        if builder != "tensorrt-rtx":
            return
        because = f" ({chosen})" if chosen else ""
        if self.hardware_compatibility != "none":
            raise _bad(
                f"--hardware-compatibility {self.hardware_compatibility} is TensorRT's, and TensorRT-RTX{because} has "
                "none: its targets are stated",
                "--compute-capability 86,89,120 states them; or --builder tensorrt, on a machine with a GPU",
            )
        if self.version_compatible:
            raise _bad(
                f"--version-compatible is TensorRT's: an engine of TensorRT-RTX{because} runs with the version that "
                "built it",
                "leave it out; or --builder tensorrt, on a machine with a GPU",
            )

    def check_volume(self, frame_size: tuple[int, int]) -> None:
        """Return where the largest input, in frames of ``frame_size`` (height, width), fits into a tensor.

        Raises:
            ExporterError: it does not.
        """
        height, width = frame_size
        values = self.batch.max * self.frames.max * 3 * height * width
        if values > TENSOR_VALUES:
            frames = TENSOR_VALUES // (self.batch.max * 3 * height * width)
            fits = f"--frames {self.frames.min}:{min(self.frames.opt, frames)}:{frames}, or "
            raise _bad(
                f"--batch up to {self.batch.max} with --frames up to {self.frames.max} of {height}x{width} pixels is "
                f"an input of {values} values, and a tensor of TensorRT holds at most {TENSOR_VALUES}",
                f"{fits if frames >= self.frames.min else ''}a smaller --batch",
            )

    def shapes(self, sizes: tuple[int, int], *, channels_last: bool) -> tuple[tuple[int, ...], ...]:
        """Min, opt and max shape of the video, for frames of ``sizes`` (height, width)."""
        pairs = [(getattr(self.batch, name), getattr(self.frames, name)) for name in ("min", "opt", "max")]
        if channels_last:
            return tuple((b, t, *sizes, 3) for b, t in pairs)
        return tuple((b, 3, t, *sizes) for b, t in pairs)


def parse_compute_capability(text: str, builder: str = "tensorrt") -> str:
    """``86``, ``8.6`` or ``sm86`` as ``8.6``.

    Raises:
        ExporterError: it is none of these, or none that TensorRT-RTX knows, unless the builder is TensorRT: that one
            knows its GPU itself.
    """
    match = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", text.strip().lower())
    if match is None:
        raise _bad(f"--compute-capability {text!r} is not a compute capability", "--compute-capability 86,89")
    found = f"{match[1]}.{match[2]}"
    if builder != "tensorrt" and found not in RTX_COMPUTE_CAPABILITIES:
        known = ", ".join(each.replace(".", "") for each in RTX_COMPUTE_CAPABILITIES)
        raise _bad(
            f"--compute-capability {text!r} is none that TensorRT-RTX can build for, expected some of {known}",
            "--compute-capability 86,89",
        )
    return found


def target_name(builder: BuilderName, compute_capabilities: tuple[str, ...]) -> str:
    """``rtx.sm86-sm89`` or ``trt.sm90``: part of an engine's key and file name."""
    capabilities = "-".join(f"sm{each.replace('.', '')}" for each in compute_capabilities)
    return f"{'rtx' if builder == 'tensorrt-rtx' else 'trt'}.{capabilities}"


def _bad(message: str, hint: str) -> ExporterError:
    return ExporterError(message, hint=hint, bad_input=True)
