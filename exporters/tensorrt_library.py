"""TensorRT and TensorRT-RTX as libraries: which is here, its logger, and what it says when something fails.

Both have the same API family, so one builder is written for both. Importing this module loads neither.
"""

import importlib
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from exporters import cuda_driver as driver
from exporters.artifact import ExporterError
from exporters.engine_options import BuilderChoice, BuilderName

if TYPE_CHECKING:
    import tensorrt as trt_types

# The one list of names for everything here that asks after the libraries without loading them.
MODULES: dict[BuilderName, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    # Without NVIDIA's metapackage, which only renames it, the bindings have their own name.
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
PACKAGES: dict[BuilderName, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
    "tensorrt-rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings"),
}
"""Packages of which any brings the library and tells its version."""

HOW_TO_GET: dict[BuilderName, str] = {
    "tensorrt": "pip install -e '.[gpu]' on a machine with an NVIDIA GPU",
    "tensorrt-rtx": "pip install -e '.[trt-rtx]', which builds engines without a GPU",
}
LEAST_VERSION = (10, 12)
"""Of TensorRT: strong typing is complete from here on."""

MESSAGES_KEPT = 200


class LibraryUnavailableError(ExporterError):
    """Neither builder, or not the one that was asked for, can work here."""


@dataclass
class Messages:
    """What the library has logged: errors, and warnings apart."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything."""
        self.errors.clear()
        self.warnings.clear()

    def last_error(self) -> str:
        """The newest error in a line, without source files and error numbers; a stand-in where there is none."""
        return plain(self.errors[-1]) if self.errors else "the library gave no reason"


@dataclass(frozen=True, kw_only=True)
class Library:
    """One of the two libraries, with the one logger that a process may have of it."""

    name: BuilderName
    trt: "trt_types._Module"
    """The module itself."""
    version: str
    logger: "trt_types.ILogger"
    messages: Messages

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT-RTX."""
        return self.name == "tensorrt-rtx"


def find_library(choice: BuilderChoice) -> Library:
    """The library that was asked for; ``auto`` takes TensorRT where a GPU is visible, TensorRT-RTX elsewhere.

    Without a GPU ``auto`` does not even import TensorRT: its bindings and those of TensorRT-RTX register types of the
    same names, and do not always bear each other in one process.

    Raises:
        LibraryUnavailableError: it is not installed, too old, or cannot work here; the message says why.
    """
    names: list[BuilderName] = ["tensorrt", "tensorrt-rtx"] if choice == "auto" else [choice]
    reasons = []
    for name in names:
        if name == "tensorrt" and choice == "auto" and not gpu_is_visible():
            reasons.append("tensorrt: it needs a GPU to build, and no CUDA device is visible")
            continue
        try:
            library = load_library(name)
            make_builder(library)
        except LibraryUnavailableError as error:
            reasons.append(f"{name}: {error.message}")
            continue
        return library
    raise LibraryUnavailableError(
        f"no engine can be built here: {'; '.join(reasons)}",
        hint=HOW_TO_GET[names[-1]] + "    (python -m slrbench doctor shows what is available)",
    )


@cache
def load_library(name: BuilderName) -> Library:
    """Import a library and make its logger.

    Raises:
        LibraryUnavailableError: it is not installed, does not load, or is too old.
    """
    module: Any = None
    for candidate in MODULES[name]:
        try:
            module = importlib.import_module(candidate)
        except ModuleNotFoundError as error:
            if error.name not in MODULES[name]:
                raise LibraryUnavailableError(f"it does not load: {error}", hint=HOW_TO_GET[name]) from error
        except (ImportError, OSError) as error:  # a library that it needs is missing
            raise LibraryUnavailableError(f"it does not load: {error}", hint=HOW_TO_GET[name]) from error
        else:
            break
    if module is None or not hasattr(module, "Builder"):
        raise LibraryUnavailableError("it is not installed", hint=HOW_TO_GET[name])
    version = str(module.__version__)
    if name == "tensorrt" and _numbers(version) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise LibraryUnavailableError(f"version {version} is too old, {least} is needed", hint=HOW_TO_GET[name])
    messages = Messages()
    return Library(
        name=name, trt=module, version=version, logger=collecting_logger(module, messages), messages=messages
    )


def make_builder(library: Library) -> "trt_types.Builder":
    """A builder of that library.

    Raises:
        LibraryUnavailableError: the library refuses, as TensorRT does without a GPU.
    """
    trt = library.trt
    library.messages.clear()
    try:
        builder: trt_types.Builder = trt.Builder(library.logger)
    except (TypeError, RuntimeError) as error:  # pybind's words for a factory that gave nothing
        raise LibraryUnavailableError(
            f"it cannot build here: {explain_cuda(library.messages.last_error())}", hint=HOW_TO_GET[library.name]
        ) from error
    return builder


def collecting_logger(trt: Any, messages: Messages) -> "trt_types.ILogger":
    """A logger that keeps errors and warnings. A process has one logger of a library: a second would be ignored."""

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            kept = messages.warnings if int(severity) == int(trt.ILogger.Severity.WARNING) else messages.errors
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                kept.append(message)
                del kept[:-MESSAGES_KEPT]

    logger: trt_types.ILogger = CollectingLogger()
    return logger


def gpu_is_visible() -> bool:
    """Whether the CUDA driver is here and shows this process a device."""
    return driver.cuda_device_count() > 0


def compute_capability_here(device: int = 0) -> str | None:
    """Compute capability of the visible GPU with that number in CUDA's order, such as ``9.0``; None without it."""
    return driver.cuda_driver().compute_capability(device)


def plain(message: str) -> str:
    """A message of the library in one line, without its own source files, functions and error numbers."""
    text = " ".join(message.split())
    text = re.sub(r"\(?\s*In \S+ at \S+:\d+\)?", "", text)
    text = re.sub(r"^(?:\[[^]]*\] ?)*(?:\w+::\w+: )?Error Code \d+: ", "", text)
    text = re.sub(r"\[\w+\.cpp::\w+::\d+\] ?", "", text)
    return text.strip()[:400]


def explain_cuda(message: str) -> str:
    """What the numbers of the CUDA runtime mean for a person, where they are the usual ones."""
    if "35" in message and ("cudaError" in message or "CUDA initialization" in message):
        return "no CUDA driver, or one that is too old for this version (CUDA error 35)"
    if "100" in message and "CUDA initialization" in message:
        return "no CUDA device is visible (CUDA error 100)"
    return message


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
