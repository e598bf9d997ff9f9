"""What pycuda lacks, by cuda-python: CUDA graphs on a stream of any owner, and the driver's stack of contexts.

Graphs and executables are plain integers, as :class:`slrbench.runners.cuda_calls.CudaCalls` has them: cuda-python's own
objects are kept here under them.
"""

from typing import Any

from cuda.bindings import driver, runtime

from slrbench.runners.cuda_calls import CudaError

_graphs: dict[int, Any] = {}
_executables: dict[int, Any] = {}


def begin_capture(stream: int) -> None:
    """Write down what this thread enqueues; other threads go on as they were."""
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    _check("beginning a CUDA graph", runtime.cudaStreamBeginCapture(stream, mode))


def end_capture(stream: int) -> int:
    """The graph of what was written down."""
    (graph,) = _check("capturing a CUDA graph", runtime.cudaStreamEndCapture(stream))
    return _keep(_graphs, graph)


def instantiate(graph: int) -> int:
    """An executable of a graph."""
    (executable,) = _check("instantiating a CUDA graph", runtime.cudaGraphInstantiate(_graphs[graph], 0))
    return _keep(_executables, executable)


def destroy_graph(graph: int) -> None:
    """Destroy a graph."""
    _check("destroying a CUDA graph", runtime.cudaGraphDestroy(_graphs.pop(graph)))


def launch(executable: int, stream: int) -> None:
    """Enqueue everything that the graph holds."""
    _check("launching a CUDA graph", runtime.cudaGraphLaunch(_executables[executable], stream))


def destroy_executable(executable: int) -> None:
    """Destroy an executable."""
    _check("destroying a CUDA graph's executable", runtime.cudaGraphExecDestroy(_executables.pop(executable)))


def pop_context() -> None:
    """Take the current context off the driver's stack of this thread."""
    error, _ = driver.cuCtxPopCurrent()
    if error != driver.CUresult.CUDA_SUCCESS:
        raise CudaError("giving the previous CUDA context back", error.name)


def _keep(kept: dict[int, Any], handle: Any) -> int:
    number = int(handle)
    kept[number] = handle
    return number


def _check(doing: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call gave, without its error code."""
    error, *rest = answer
    if error == runtime.cudaError_t.cudaSuccess:
        return tuple(rest)
    runtime.cudaGetLastError()  # else the next call of another library would be told of it
    _, text = runtime.cudaGetErrorString(error)
    raise CudaError(doing, f"{text.decode() if isinstance(text, bytes) else text} ({error.name})")
