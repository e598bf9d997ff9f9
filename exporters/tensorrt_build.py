"""The build itself: in a thread of its own, told of its phases, and stopped by Ctrl-C. Loads no library."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from exporters.artifact import ExporterError
from exporters.cuda_driver import current_device
from exporters.tensorrt_library import Library, explain_cuda

if TYPE_CHECKING:
    import tensorrt as trt_types

Progress = Callable[[str, int, int], None]
"""Called with the phase, steps done and steps in all; may come from another thread."""


def build_plan(
    library: Library,
    builder: "trt_types.Builder",
    network: "trt_types.INetworkDefinition",
    config: "trt_types.IBuilderConfig",
    progress: Progress | None,
    device: int,
) -> bytes:
    """The serialised engine. Built in a thread of its own, so that Ctrl-C is noticed while the library works.

    Raises:
        ExporterError: the library could not build it.
        Exception: whatever ``progress`` raised, which ended the build.
    """
    monitor = progress_monitor(library, progress)
    config.progress_monitor = monitor
    library.messages.clear()
    made: list[Any] = []
    failed: list[Exception] = []

    def build() -> None:
        try:
            with current_device(device):  # each thread has its own
                made.append(builder.build_serialized_network(network, config))
        except Exception as error:  # raised again below, where it is heard
            failed.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except BaseException:
        monitor.cancelled = True
        thread.join()
        raise
    if monitor.error is not None:  # nobody asked for the end of the build but this
        raise monitor.error
    if failed:
        raise ExporterError(f"{library.name} {library.version} failed while it built: {failed[0]}") from failed[0]
    plan = made[0] if made else None
    if plan is None:
        raise ExporterError(
            f"{library.name} {library.version} could not build the engine: "
            f"{explain_cuda(library.messages.last_error())}",
            hint=_build_hint(library.messages.errors),
        )
    return bytes(plan)


def _build_hint(errors: list[str]) -> str | None:
    text = " ".join(errors).lower()
    if "memory" in text:
        return "give it less: --workspace-mb, a smaller --batch or --frames range; or end what else uses the GPU"
    return None


def progress_monitor(library: Library, progress: Progress | None) -> Any:
    """An ``IProgressMonitor`` that passes the outermost phases on and can be cancelled by setting ``cancelled``.

    The library calls it from its own threads, and an exception must not leave it: one in ``progress`` cancels the
    build and is kept in ``error``.
    """
    trt = library.trt

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.error: Exception | None = None
            self._steps: dict[str, int] = {}
            self._lock = threading.Lock()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._steps[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._steps.pop(phase_name, None)

        def _tell(self, phase: str, done: int) -> None:
            if progress is None or self.cancelled:
                return
            try:
                progress(phase, done, self._steps.get(phase, done))
            except Exception as error:
                self.error, self.cancelled = error, True

    return Monitor()
