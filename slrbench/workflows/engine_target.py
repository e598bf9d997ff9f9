"""What builds engines here, for which GPUs, and whether they can be judged here. Needs nothing of a checkpoint."""

from dataclasses import dataclass, replace

from exporters.cuda_driver import device_word
from exporters.engine_options import EngineOptions
from exporters.tensorrt_library import Library, LibraryUnavailableError, compute_capability_here, find_library
from exporters.to_tensorrt import compute_capabilities_of, default_timing_cache
from slrbench.errors import UnavailableError
from slrbench.runners.availability import availability


@dataclass(frozen=True, kw_only=True)
class EngineTarget:
    """What builds engines here, for which GPUs, and whether they can be judged here."""

    library: Library
    capabilities: tuple[str, ...]
    options: EngineOptions
    not_run_because: str
    """Why engines cannot be judged here; empty where they can."""
    notes: tuple[str, ...] = ()
    """Options that have no effect."""

    @classmethod
    def find(cls, options: EngineOptions) -> "EngineTarget":
        """Find the library; nothing of a checkpoint is needed.

        Raises:
            UnavailableError: no engine can be built here.
            ExporterError: the options ask what the library cannot do.
        """
        try:
            library = find_library(options.builder)
            capabilities = compute_capabilities_of(library, options)
        except LibraryUnavailableError as error:
            raise UnavailableError(error.message, hint=error.hint) from error
        notes = []
        if library.is_rtx and options.timing_cache is not None:
            notes.append(f"--timing-cache {options.timing_cache} is ignored: TensorRT-RTX measures no kernels")
        return cls(
            library=library,
            capabilities=capabilities,
            options=replace(
                options, timing_cache=options.timing_cache or default_timing_cache(library, options.device)
            ),
            not_run_because=why_not_run_here(library, capabilities, options.device),
            notes=tuple(notes),
        )


def why_not_run_here(library: Library, capabilities: tuple[str, ...], device: int = 0) -> str:
    """Why an engine of these targets cannot be judged here; empty where it can."""
    here = compute_capability_here(device)
    if here is None:
        return "needs an RTX GPU" if library.is_rtx else "needs a GPU"
    runs = availability("trt", device_word(device))
    if not runs.available:
        return f"needs what runs engines: {runs.why_not}"
    if here not in capabilities:
        kind = "an RTX GPU" if library.is_rtx else "a GPU"
        return f"needs {kind} of compute capability {' or '.join(capabilities)}, the one here has {here}"
    return ""
