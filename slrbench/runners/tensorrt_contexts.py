"""Execution contexts and their CUDA graphs: one context whose shape changes, or with graphs one for each shape.

A graph holds what a context did at one shape, addresses and all. Once that context's shape changes, launching the graph
is undefined; so each graph has a context of its own, whose shape stays.
"""

from typing import TYPE_CHECKING

from exporters.input_names import INPUT_NAME, OUTPUT_NAME
from slrbench.errors import RunFailedError, UnavailableError
from slrbench.runners.closing import free_all, without_raising
from slrbench.runners.cuda_calls import CudaCalls, CudaError
from slrbench.runners.tensorrt_buffers import Buffers
from slrbench.runners.tensorrt_engine import Engine, Shape, as_shape, rtx_can_capture

if TYPE_CHECKING:
    import tensorrt as trt_types

KEPT_SHAPES = 4
"""Graphs, and contexts with them, kept at a time; each context holds memory for the profile's largest shape."""


class Slot:
    """A context at a shape, and the graph captured from it."""

    def __init__(self) -> None:
        """Empty: no context, no shape."""
        self.context: trt_types.IExecutionContext | None = None
        self.shape: Shape = ()
        self.output_shape: Shape = ()
        self.executable: int | None = None


class Contexts:
    """The contexts of one engine on one stream. Needs a current CUDA context, also to close."""

    def __init__(self, engine: Engine, cuda: CudaCalls, *, graphs: bool) -> None:
        """Create nothing yet; ``graphs``: capture one for each shape."""
        self._engine = engine
        self._cuda = cuda
        self._graphs = graphs
        self._slots: list[Slot] = []
        self._refused: set[Shape] = set()
        self._stream = 0
        self._buffers: Buffers | None = None
        self.graph_status = "not captured yet" if graphs else "off"

    def open(self, stream: int) -> None:
        """Create the first context.

        Raises:
            RunFailedError: there is not enough device memory.
        """
        self._stream = stream
        self._new_slot()

    def largest_output(self) -> Shape:
        """Shape of the output for the profile's largest input.

        Raises:
            RunFailedError: the context gives no complete shape.
        """
        slot = self._slots[0]
        self._set_shape(slot, self._engine.largest)
        slot.shape = ()  # it was asked, not used: a graph is still to be captured
        return slot.output_shape

    def bind(self, buffers: Buffers) -> None:
        """Where input and output lie from now on.

        Raises:
            RunFailedError: the context refused an address.
        """
        self._buffers = buffers
        for slot in self._slots:
            self._bind(slot)

    def prepare(self, shape: Shape) -> Slot:
        """A context that is set to the shape; captures its graph where that is asked for and not done yet.

        Raises:
            RunFailedError: the context refused the shape, or failed to run it.
            CudaError: a CUDA call failed.
        """
        for slot in self._slots:
            if slot.shape == shape:
                return slot
        self._cuda.synchronize(self._stream)  # a context that is about to change, or to go, must not be running
        slot = self._slot_for_new_shape()
        self._set_shape(slot, shape)
        if self._graphs and shape not in self._refused:
            try:
                self._capture(slot)
            except BaseException:
                slot.shape = ()  # so that the next call tries again
                raise
        return slot

    def enqueue(self, slot: Slot) -> None:
        """Enqueue one inference.

        Raises:
            RunFailedError: the library refused.
            CudaError: the graph could not be launched.
        """
        if slot.executable is not None:
            self._cuda.launch(slot.executable, self._stream)
        else:
            self._execute(slot)

    def report_layers_to(self, profiler: "trt_types.IProfiler") -> None:
        """Let the context tell ``profiler`` every layer's time, which makes each call wait for its end."""
        for slot in self._slots:
            assert slot.context is not None
            slot.context.profiler = profiler

    def close(self) -> None:
        """Let go of every graph, then of every context.

        Raises:
            CudaError: a graph could not be destroyed; everything else is gone all the same.
        """
        slots, self._slots = self._slots, []
        try:
            free_all([lambda slot=slot: self._drop_graph(slot) for slot in slots])  # type: ignore[misc]
        finally:
            for slot in slots:
                slot.context = None
                slot.shape = ()

    def _slot_for_new_shape(self) -> Slot:
        first = self._slots[0]
        if not self._graphs or first.executable is None:  # unused so far, or its shape could not be captured
            return first
        if len(self._slots) < KEPT_SHAPES:
            try:
                return self._new_slot()
            except RunFailedError:  # no memory for another context: an old one changes its shape
                pass
        self._slots.append(self._slots.pop(0))
        self._drop_graph(first)
        return first

    def _new_slot(self) -> Slot:
        slot = Slot()
        slot.context = self._engine.new_context()
        if self._buffers is not None:
            self._bind(slot)
        self._slots.append(slot)
        return slot

    def _bind(self, slot: Slot) -> None:
        assert slot.context is not None
        assert self._buffers is not None
        for name, address in ((INPUT_NAME, self._buffers.device_input), (OUTPUT_NAME, self._buffers.device_output)):
            if not slot.context.set_tensor_address(name, address):
                raise RunFailedError(f"the engine refused a buffer for {name!r}: {self._engine.last_error()}")

    def _set_shape(self, slot: Slot, shape: Shape) -> None:
        assert slot.context is not None
        slot.shape = ()  # whatever fails from here on, the context is at no known shape
        self._engine.library.messages.clear()
        if not slot.context.set_input_shape(INPUT_NAME, shape):
            raise RunFailedError(f"the engine refused the input shape {shape}: {self._engine.last_error()}")
        output = as_shape(slot.context.get_tensor_shape(OUTPUT_NAME))
        if not output or min(output) < 1:
            raise RunFailedError(
                f"for the input shape {shape} the engine gives the output shape {output}, expected three sizes",
                hint="an output whose shape depends on the frames' content cannot be run: export the model again",
            )
        slot.shape, slot.output_shape = shape, output

    def _execute(self, slot: Slot) -> None:
        assert slot.context is not None
        if not slot.context.execute_async_v3(self._stream):
            raise RunFailedError(
                f"the engine failed on input {slot.shape}: {self._engine.last_error()}",
                hint="python -m slrbench verify ENGINE compares it with the reference",
            )

    def _capture(self, slot: Slot) -> None:
        """Capture the slot's graph, or say why that is refused; the slot then runs without one."""
        refusal = self._try_capture(slot)
        if refusal is not None:
            self._refused.add(slot.shape)
            self.graph_status = f"refused, because {refusal} (input {slot.shape})"
        elif not self.graph_status.startswith("refused"):
            self.graph_status = "captured"

    def _try_capture(self, slot: Slot) -> str | None:
        # The first call after a change of shape does more than later ones, and none of that belongs into the graph.
        self._execute(slot)
        self._cuda.synchronize(self._stream)
        if self._engine.library.is_rtx and not rtx_can_capture(slot.context, self._stream):
            return "TensorRT-RTX cannot have this engine captured: it allocates or compiles while it runs"
        try:
            self._cuda.begin_capture(self._stream)
        except (CudaError, UnavailableError) as error:  # unavailable: cuda-python is not installed
            return error.message
        enqueued = False
        try:
            self._execute(slot)
            enqueued = True
        except RunFailedError as error:
            return error.message
        finally:  # whatever happened, the stream must come out of its capture
            if not enqueued:
                without_raising(lambda: self._cuda.destroy_graph(self._cuda.end_capture(self._stream)))
        try:
            graph = self._cuda.end_capture(self._stream)
            try:
                slot.executable = self._cuda.instantiate(graph)
            finally:
                self._cuda.destroy_graph(graph)
        except CudaError as error:
            return error.message
        return None

    def _drop_graph(self, slot: Slot) -> None:
        executable, slot.executable = slot.executable, None
        if executable is not None:
            self._cuda.destroy_executable(executable)
