"""The trt runner lets go of everything, in order and whatever fails. On CUDA in host memory."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slrbench.errors import RunFailedError, SlrbenchError
from tests.runners.host_cuda import HostCuda, check
from tests.runners.trt_session import all_verbs, infer, open_on_host, video

# --- order ------------------------------------------------------------------------------------------------------------


def test_everything_is_released_in_order_and_the_cuda_context_last(engine: Path) -> None:
    host = HostCuda()
    runner = open_on_host(engine, host, variant="cuda-graph")
    all_verbs(runner, [(1, 5), (2, 5)])
    before = len(host.calls)
    runner.close()
    assert host.calls[before:] == [
        "push", "synchronize",
        "destroy_executable", "destroy_executable", "~context", "~context", "~engine", "~runtime",
        "free_device", "free_device", "free_host", "free_host",
        "destroy_event", "destroy_event", "destroy_stream",
        "pop", "release",
    ]  # fmt: skip
    check(host)


def test_work_under_way_is_waited_for_before_its_memory_is_freed(engine: Path) -> None:
    host = HostCuda()
    runner = open_on_host(engine, host)
    runner.run(runner.stage(video(1, 8)))
    runner.close()
    check(host)


def test_closing_twice_is_fine_and_every_verb_afterwards_is_an_error(engine: Path) -> None:
    host = HostCuda()
    runner = open_on_host(engine, host)
    staged = runner.stage(video(1, 8))
    pending = runner.run(staged)
    runner.close()
    runner.close()
    verbs: list[Callable[[], object]] = [
        lambda: runner.stage(video(1, 8)), lambda: runner.run(staged), runner.synchronize,
        lambda: runner.fetch(pending), runner.device_seconds,
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(RunFailedError, match="the runner is closed"):
            verb()
    assert host.calls.count("release") == 1
    check(host)


def test_a_runner_that_was_forgotten_is_closed(engine: Path) -> None:
    host = HostCuda()
    runner = open_on_host(engine, host)
    infer(runner, video(1, 8))
    del runner
    gc.collect()
    assert host.calls[-1] == "release"
    check(host)


def test_a_runner_that_is_open_when_the_process_ends_is_closed(engine: Path, repository: Path) -> None:
    code = (
        "import atexit, sys; from pathlib import Path\n"
        "from tests.runners.host_cuda import HostCuda; from tests.runners.trt_session import open_on_host\n"
        "host = HostCuda(); atexit.register(lambda: print(host.calls[-1], host.faults, host.leaks))\n"
        "runner = open_on_host(Path(sys.argv[1]), host)"
    )
    command = [sys.executable, "-c", code, str(engine)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["release", "[]", "[]"]
    assert done.stderr == ""


# --- errors at every step ---------------------------------------------------------------------------------------------


def session(path: Path, host: HostCuda, variant: str) -> tuple[list[SlrbenchError], int]:
    """Open, use and close; the errors that came out, and how many steps had been made when close began."""
    errors: list[SlrbenchError] = []
    try:
        runner = open_on_host(path, host, variant=variant)
    except SlrbenchError as error:
        return [error], len(host.calls)
    try:
        all_verbs(runner, [(1, 5), (2, 5), (1, 5)])
    except SlrbenchError as error:
        errors.append(error)
    before_close = len(host.calls)
    try:
        runner.close()
    except SlrbenchError as error:
        errors.append(error)
    return errors, before_close


@pytest.mark.parametrize("variant", ["", "cuda-graph"])
def test_whichever_call_fails_nothing_leaks_and_somebody_is_told(engine: Path, variant: str) -> None:
    whole = HostCuda()
    assert session(engine, whole, variant)[0] == []
    check(whole)
    told, tolerated = 0, set()
    for number in range(len(whole.calls)):
        if whole.calls[number].startswith("~"):
            continue
        host = HostCuda(fail_at=number)
        errors, before_close = session(engine, host, variant)
        where = f"call {number}, {whole.calls[number]}"
        assert host.failed == whole.calls[number], where
        assert host.faults == [], where
        if whole.calls[number] == "push" and number >= before_close:
            continue  # without its context nothing can be freed: releasing it is all that is left
        assert host.leaks == [], where
        if errors:
            told += 1
            assert "told to fail" in errors[0].message or "out of memory" in errors[0].message or errors[0].hint, where
        else:
            tolerated.add(whole.calls[number])
    assert told > 40
    # Where a graph is refused, or a second context, the engine runs without.
    graph_only = {"begin_capture", "end_capture", "instantiate", "destroy_graph", "trt.execute_async_v3"}
    assert tolerated <= (graph_only | {"trt.create_execution_context", "trt.set_tensor_address"} if variant else set())


def test_a_runner_works_on_after_a_call_that_failed_once(engine: Path) -> None:
    whole = HostCuda()
    runner = open_on_host(engine, whole)
    first = len(whole.calls)
    expected = infer(runner, video(2, 8))
    last = len(whole.calls)
    runner.close()
    for number in range(first, last):
        host = HostCuda(fail_at=number)
        runner = open_on_host(engine, host)
        with pytest.raises(SlrbenchError):
            infer(runner, video(2, 8))
        np.testing.assert_array_equal(infer(runner, video(2, 8)), expected)
        runner.close()
        check(host)


def test_closing_goes_on_after_an_error_and_then_says_it(engine: Path) -> None:
    host = HostCuda(fail_on="destroy_event")
    runner = open_on_host(engine, host)
    with pytest.raises(RunFailedError, match="destroy_event failed"):
        runner.close()
    assert host.calls[-3:] == ["destroy_stream", "pop", "release"]
    check(host)
    runner.close()


def test_an_error_of_the_cleaning_up_does_not_hide_what_went_wrong(engine: Path) -> None:
    host = HostCuda(fail_on="destroy_stream")
    with pytest.raises(RunFailedError, match="could not create an execution context"):
        open_on_host(engine, host, adjust=lambda trt: setattr(trt, "contexts_left", 0))
    check(host)
