"""torch's side of a GPU as far as a CPU can show it: switches, compiling, order of calls. It proves no GPU."""

import io
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slrbench.errors import RunFailedError, UnavailableError
from slrbench.runners import torch_places
from slrbench.runners.torch_module import ModuleRunner
from slrbench.runners.torch_places import CudaPlace, place_of
from slrbench.runners.torch_precision import autocast, computed_precision, set_tf32, tf32_switches
from slrbench.runners.torchscript import move_device_constants


class Tiny(nn.Module):
    """``(B, 3, T, H, W)`` to ``(T, B, 5)``."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.linear(video.mean((3, 4)).permute(2, 0, 1)).float().log_softmax(-1)


@pytest.fixture
def video() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).random((2, 3, 4, 8, 8), dtype=np.float32)


@pytest.fixture
def tf32_as_before() -> Iterator[None]:
    yield
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False


# --- precision --------------------------------------------------------------------------------------------------------


def test_tf32_is_the_same_for_every_operator_and_both_of_torchs_interfaces_can_be_read(tf32_as_before: None) -> None:
    assert set(tf32_switches().values()) != {"ieee"}  # torch's own default is mixed: this is why it is set
    for allowed in (False, True, False):
        set_tf32(allowed)
        assert set(tf32_switches().values()) == {"tf32" if allowed else "ieee"}
        assert torch.backends.cudnn.allow_tf32 is allowed  # raises where the interfaces disagree; the compiler reads it
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")


def test_a_switch_that_torch_does_not_take_is_an_error(tf32_as_before: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.runners.torch_precision.tf32_switches", lambda: {"conv": "tf32"})
    with pytest.raises(RunFailedError, match="was told ieee"):
        set_tf32(False)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_the_precision_is_looked_up_and_not_repeated(tf32_as_before: None, precision: str) -> None:
    set_tf32(precision == "tf32")
    found = computed_precision(torch.device("cpu"), precision)
    assert found["precision"] == precision
    assert found["autocast"] == (precision in ("fp16", "bf16"))
    set_tf32(precision != "tf32")
    if precision in ("fp32", "tf32"):
        assert computed_precision(torch.device("cpu"), precision)["precision"] != precision


def test_half_precision_keeps_log_softmax_in_fp32() -> None:
    with torch.inference_mode(), autocast(torch.device("cpu"), "bf16"):
        output = Tiny()(torch.ones(1, 3, 4, 8, 8))
    assert output.dtype == torch.float32


# --- torch.compile ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_module_gives_the_same_and_says_what_was_compiled(video: Any) -> None:
    module = Tiny().eval()
    eager, compiled = (
        ModuleRunner("torch", module, threads=1, input_kind="float32", normalise_here=True, variant=variant)
        for variant in ("", "compile")
    )
    assert compiled.requested["variant"] == compiled.actual["variant"] == "compile"
    assert compiled.actual["compiled_graphs"] == 0
    results = [runner.fetch(runner.run(runner.stage(video))) for runner in (eager, compiled)]
    np.testing.assert_allclose(*results, atol=1e-6)
    assert compiled.actual["compiled_graphs"] == 1
    assert compiled.actual["graph_breaks"] == 0
    assert "compiled_graphs" not in eager.actual


def test_a_module_that_cannot_be_compiled_fails_with_a_hint(video: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(module: Any, mode: str) -> Any:
        def call(video: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    runner = ModuleRunner(
        "torch", Tiny(), threads=1, input_kind="float32", normalise_here=True, variant="compile-max-autotune"
    )
    assert runner.actual["compile_mode"] == "max-autotune"
    with pytest.raises(RunFailedError, match="No working C") as caught:
        runner.run(runner.stage(video))
    assert "without a variant torch runs eagerly" in str(caught.value.hint)


# --- TorchScript ------------------------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """An LSTM, whose first state a trace makes on the device of the tracing; and a part that a trace never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.lstm(steps)[0]
        return outputs


class OneWeight(nn.Module):
    """The same in one tensor: a frozen trace of several does not load on the meta device, which cannot compare them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros(1, steps.shape[1], 3, device=steps.device), steps @ self.weight])[1:]


def load_trace(module: nn.Module, device: str) -> Any:
    steps = torch.zeros(2, 2, 4)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # TorchScript is deprecated altogether
        trace = torch.jit.trace(module.eval(), steps, check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.freeze(trace) if isinstance(module, OneWeight) else trace, buffer)
        buffer.seek(0)
        return torch.jit.load(buffer, map_location=device)


@pytest.mark.parametrize("network", [OneWeight, Recurrent])
def test_a_trace_of_the_cpu_runs_elsewhere_once_its_device_constants_are_moved(network: type[nn.Module]) -> None:
    # The meta device stands for a GPU: it takes part in no computation with tensors of the CPU.
    steps = torch.zeros(5, 2, 4, device="meta")
    unmoved, module = load_trace(network(), "meta"), load_trace(network(), "meta")
    with torch.no_grad(), pytest.raises(RuntimeError, match="cpu"):
        unmoved(steps)
    assert move_device_constants(module, torch.device("meta")) >= 1
    with torch.no_grad():
        found = module(steps)
    assert found.device.type == "meta"
    assert found.shape == (5, 2, 3)


def test_the_projects_own_trace_names_a_device_that_is_moved(files: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(files.path("torchscript")), map_location="cpu")
    assert move_device_constants(module, torch.device("meta")) >= 1
    with torch.no_grad(), pytest.raises(RuntimeError, match="hidden tensor at meta"):
        module(torch.zeros(1, 3, 8, 32, 32))


# --- order of calls ---------------------------------------------------------------------------------------------------


class FakeCuda:
    """``torch.cuda`` on host memory: writes down what is asked of it, in order."""

    def __init__(self) -> None:
        self.peak = 7
        self.log: list[str] = []
        self.inside: list[str] = []
        fake = self

        class Stream:
            def __init__(self, device: torch.device) -> None:
                fake.log.append("stream made")

            def synchronize(self) -> None:
                fake.log.append("synchronize")

        class Event:
            def __init__(self, *, enable_timing: bool = False) -> None:
                assert enable_timing
                self.name = f"event {len([e for e in fake.log if e.startswith('event made')])}"
                fake.log.append("event made")

            def record(self, stream: Stream) -> None:
                assert fake.inside
                fake.log.append(f"{self.name} recorded")

            def elapsed_time(self, end: "Event") -> float:
                assert (self.name, end.name) == ("event 0", "event 1")
                return 12.5

        self.Stream, self.Event = Stream, Event

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.inside.append("stream")
        yield
        self.inside.pop()

    def set_device(self, device: torch.device) -> None:
        self.log.append("device set")

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peak = 7

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak

    def max_memory_reserved(self, device: torch.device) -> int:
        return 9

    def get_device_capability(self, device: torch.device) -> tuple[int, int]:
        return 9, 0

    def get_device_name(self, device: torch.device) -> str:
        return "NVIDIA Something"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    instead = SimpleNamespace(
        cuda=fake, device=lambda *_: torch.device("cpu"), from_numpy=torch.from_numpy, backends=torch.backends,
        version=torch.version, __version__=torch.__version__, bfloat16=torch.bfloat16, float32=torch.float32,
    )  # fmt: skip
    monkeypatch.setattr(torch_places, "torch", instead)
    monkeypatch.setattr(torch_places, "_pinned_like", torch.empty_like)
    return fake


def test_a_run_stands_between_two_events_on_the_runners_own_stream(cuda: FakeCuda, video: Any) -> None:
    module = Tiny().eval()

    def watched(staged: torch.Tensor) -> torch.Tensor:
        assert cuda.inside == ["stream"]
        cuda.log.append("module")
        return module(staged)

    place = CudaPlace("cuda:1")
    runner = ModuleRunner(
        "torch", watched, threads=1, input_kind="float32", normalise_here=True, place=place, device="cuda:1"
    )
    assert runner.device_seconds() is None
    staged = runner.stage(video)
    cuda.log.clear()
    pending = runner.run(staged)
    assert cuda.log == ["event 0 recorded", "module", "event 1 recorded"]
    runner.synchronize()
    assert cuda.log[-1] == "synchronize"
    assert runner.device_seconds() == 0.0125
    assert runner.device_memory() == {"peak": 7, "reserved": 9, "first_call": 7}
    assert runner.requested["device"] == "cuda:1"
    assert (runner.actual["gpu"], runner.actual["compute_capability"]) == ("NVIDIA Something", "9.0")
    np.testing.assert_array_equal(runner.fetch(pending), module(torch.from_numpy(video)).detach().numpy())


def test_what_the_first_call_at_a_shape_takes_stands_apart_from_the_peak(cuda: FakeCuda, video: Any) -> None:
    place = CudaPlace("cuda")
    runner = ModuleRunner("torch", Tiny().eval(), threads=1, input_kind="float32", normalise_here=True, place=place)

    def run(clip: Any, peak: int) -> dict[str, int]:
        staged = runner.stage(clip)
        runner.synchronize()  # as whoever times the copy alone does
        pending = runner.run(staged)
        cuda.peak = peak  # what the kernels that cuDNN tries take, or a usual call
        runner.synchronize()
        runner.fetch(pending)
        memory: dict[str, int] = runner.device_memory()
        return memory

    assert run(video, 2000) == {"peak": 7, "reserved": 9, "first_call": 2000}
    assert run(video, 11) == {"peak": 11, "reserved": 9, "first_call": 2000}
    assert run(video[:, :, :1], 3000) == {"peak": 11, "reserved": 9, "first_call": 3000}


def test_a_first_call_that_fails_is_no_peak_and_the_next_one_is_the_first(cuda: FakeCuda, video: Any) -> None:
    fails = [True, False]
    module = Tiny().eval()

    def sometimes(staged: torch.Tensor) -> torch.Tensor:
        cuda.peak = 2000
        if fails.pop(0):
            raise RuntimeError("out of memory")
        return module(staged)

    place = CudaPlace("cuda")
    runner = ModuleRunner("torch", sometimes, threads=1, input_kind="float32", normalise_here=True, place=place)
    with pytest.raises(RunFailedError):
        runner.run(runner.stage(video))
    runner.run(runner.stage(video))
    runner.synchronize()
    assert runner.device_memory() == {"peak": 7, "reserved": 9, "first_call": 2000}


@pytest.mark.parametrize("word", ["cuda", "cuda:0", "cuda:1"])
def test_the_device_that_is_used_is_called_what_it_was_asked_for_as(cuda: FakeCuda, word: str) -> None:
    place, device = CudaPlace(word), type(torch.ones(1).device)  # the fixture has replaced torch.device
    place.device = device("cuda", int(word.partition(":")[2] or 0))
    assert place.describe()["device"] == word
    place.device = device("cuda", 3)
    assert place.describe()["device"] == "cuda:3"


def test_pinned_memory_is_used_again_only_after_the_copy_out_of_it(cuda: FakeCuda, video: Any) -> None:
    place = CudaPlace("cuda")
    place.stage(video)
    cuda.log.clear()
    place.stage(video)
    assert cuda.log == ["synchronize"]
    place.stage(video[:1].copy())
    assert len(place._pinned) == 2


def test_what_was_fetched_outlives_the_next_fetch_through_the_same_buffer(cuda: FakeCuda) -> None:
    place = CudaPlace("cuda")
    first = place.fetch(torch.ones(2, 3))
    place.fetch(torch.zeros(2, 3))
    np.testing.assert_array_equal(first, np.ones((2, 3)))


def test_a_device_that_torch_cannot_use_is_unavailable(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> None:
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(cuda, "set_device", refuse)
    with pytest.raises(UnavailableError, match=r"cannot use cuda:0: CUDA error: out of memory$"):
        CudaPlace("cuda:0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU says")
def test_the_real_torch_without_a_gpu_says_why(tf32_as_before: None) -> None:
    before = torch.backends.cudnn.benchmark
    try:
        with pytest.raises(UnavailableError, match=r"torch \S+ cannot use cuda: .*"):
            place_of("cuda", "fp32")
    finally:
        torch.backends.cudnn.benchmark = before
