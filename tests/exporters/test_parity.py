"""The verdict of parity, on outputs that NumPy makes."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporters.artifact import ParityVerdict
from exporters.comparison import Gates, compare, greedy_decode, logsumexp
from exporters.parity import IDENTICAL_ROWS, REPETITION, ROWS_ALONE, ParityInput, check_parity, one_line

CLASSES = 5
WEIGHTS = np.random.default_rng(1).normal(size=(3, CLASSES)) * 8
Array = NDArray[Any]
Infer = Callable[[Array], Array]


def log_softmax(logits: Array) -> Array:
    return logits - logsumexp(logits)[..., None]


def reference_logits(video: Array) -> Array:
    """(B, 3, T, 1, 1) to (ceil(T/4), B, C): the mean colour of four frames, times a matrix."""
    steps = [video[:, :, start : start + 4, 0, 0].mean(axis=2) for start in range(0, video.shape[2], 4)]
    return np.stack(steps).astype(np.float64) @ WEIGHTS


def reference(video: Array) -> Array:
    return log_softmax(reference_logits(video))


INPUTS = tuple(
    ParityInput(
        name=f"{source} {batch}x{frames}",
        video=np.random.default_rng(frames).uniform(-1, 1, (batch, 3, frames, 1, 1)).astype(np.float32),
        source=source,
    )
    for source, batch, frames in (
        ("noise", 1, 1),
        ("noise", 2, 3),
        ("noise", 1, 6),
        ("clips", 3, 9),
        ("clips", 1, 22),
        ("noise", 4, 40),
        ("clips", 2, 17),
    )
)


def gated(settings: dict[str, Any]) -> dict[str, Any]:
    """``atol=`` and the like as gates, the rest as it is."""
    names = {field.name for field in dataclasses.fields(Gates)}
    gates = {name: value for name, value in settings.items() if name in names}
    return {name: value for name, value in settings.items() if name not in names} | {"gates": Gates(**gates)}


def verdict_of(candidate: Infer, **settings: Any) -> ParityVerdict:
    return check_parity(reference, candidate, INPUTS, artifact_sha256="0" * 64, backend="numpy", **gated(settings))


def wobbled(size: float) -> Infer:
    """The reference with errors of up to about ``size``, different at every value, of every row alone."""

    def candidate(video: Array) -> Array:
        log_probs = reference(video)
        return log_softmax(log_probs + size * np.sin(1000 * log_probs))

    return candidate


def test_the_reference_passes_against_itself() -> None:
    verdict = verdict_of(reference)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.needed_atol == 0.0
    assert verdict.max_abs_error == 0.0
    assert len(verdict.cases) == len(INPUTS)
    assert [invariance.name for invariance in verdict.invariances] == [ROWS_ALONE, IDENTICAL_ROWS, REPETITION]
    case = verdict.cases[3]
    assert (case.name, case.batch, case.frames, case.source) == ("clips 3x9", 3, 9, "clips")
    assert (case.kl, case.decoded_differences, case.argmax_agreement_clear) == (0.0, 0, 1.0)
    assert case.max_abs_logsumexp is not None
    assert case.max_abs_logsumexp < 1e-12


def test_figures_of_a_case() -> None:
    expected = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.1, 0.1, 0.8]]]))  # (T', B, C)
    found = np.log(np.array([[[0.5, 0.3, 0.2]], [[0.1, 0.1, 0.8]]]))
    item = ParityInput(name="x", video=np.zeros((1, 3, 5, 1, 1), np.float32), source="noise")
    case = compare(expected, found, item, Gates())
    errors = [math.log(0.3 / 0.25), math.log(0.25 / 0.2)]
    assert case.max_abs_error == pytest.approx(max(errors))
    assert case.mean_abs_error == pytest.approx(sum(errors) / 6)
    assert case.p99_abs_error == pytest.approx(np.percentile([*errors, 0, 0, 0, 0], 99))
    assert case.kl == pytest.approx(0.25 * (math.log(0.25 / 0.3) + math.log(0.25 / 0.2)) / 2)
    assert case.needed_atol == pytest.approx(max(errors) - 1e-4 * math.log(1 / 0.25), abs=1e-3)
    assert not case.passed
    assert "2 of 6 values are outside" in case.why


@pytest.mark.parametrize("size", [1e-6, 3e-5])
def test_rounding_passes(size: float) -> None:
    verdict = verdict_of(wobbled(size))
    assert verdict.passed
    assert verdict.max_abs_error is not None
    assert size / 2 < verdict.max_abs_error < 2 * size


def test_an_error_above_the_gate_fails_and_says_what_would_have_been_needed() -> None:
    verdict = verdict_of(wobbled(5e-3))
    assert not verdict.passed
    assert verdict.needed_atol is not None
    assert 1e-3 < verdict.needed_atol < 1e-2
    assert "atol needed" in verdict.reasons[0]
    assert verdict_of(wobbled(5e-3), atol=verdict.needed_atol).passed


@settings(max_examples=50)
@given(size=st.floats(1e-7, 3e-2), atol=st.floats(0, 1e-1), more=st.floats(0, 1.0))
def test_a_verdict_is_monotone_in_the_tolerance(size: float, atol: float, more: float) -> None:
    def verdict(atol: float) -> ParityVerdict:
        return check_parity(
            reference, wobbled(size), INPUTS[1:4], artifact_sha256="", backend="numpy", minimum_shapes=3,
            gates=Gates(atol=atol, clear_margin=math.inf),  # so that what decides is the tolerance
        )  # fmt: skip

    narrow, wide = verdict(atol), verdict(atol + more)
    needed = narrow.needed_atol
    assert needed is not None
    assert needed == wide.needed_atol
    assert wide.passed or not narrow.passed
    assert narrow.passed == (atol >= needed)
    assert verdict(needed).passed
    assert needed == 0 or not verdict(float(np.nextafter(needed, 0))).passed


def test_logits_are_named() -> None:
    verdict = verdict_of(reference_logits)
    assert not verdict.passed
    assert verdict.needed_atol is None
    assert all("outputs are logits: log_softmax is missing" in case.why for case in verdict.cases)


def test_probabilities_are_named() -> None:
    verdict = verdict_of(lambda video: np.exp(reference(video)))
    assert "outputs are probabilities: the logarithm is missing" in verdict.reasons[0]


def test_values_that_are_not_finite_fail_and_are_counted() -> None:
    def candidate(video: Array) -> Array:
        outputs = reference(video)
        outputs[0, 0, 1] = np.nan
        outputs[-1, -1, 2] = -np.inf
        return outputs

    verdict = verdict_of(candidate, atol=1e9)
    assert [case.non_finite for case in verdict.cases] == [2] * len(INPUTS)
    assert verdict.needed_atol is None
    assert not any(case.passed for case in verdict.cases)
    assert verdict.cases[0].max_abs_error == 0.0
    assert verdict == ParityVerdict.model_validate_json(verdict.model_dump_json())


def test_a_reference_that_is_not_finite_fails() -> None:
    verdict = check_parity(
        lambda video: np.full_like(reference(video), np.nan), reference, INPUTS, artifact_sha256="", backend="numpy"
    )
    assert not verdict.passed
    assert "the reference itself" in verdict.reasons[0]


def test_an_artifact_that_raises_is_a_failed_case_with_its_reason_in_one_line() -> None:
    def candidate(video: Array) -> Array:
        if video.shape[2] != 6:
            raise RuntimeError("\x1b[31mGot invalid dimensions\x1b[0m for input: video\n index: 2 Got: 9 Expected: 6")
        return reference(video)

    verdict = verdict_of(candidate)
    assert [case.passed for case in verdict.cases] == [item.shape[1] == 6 for item in INPUTS]
    why = verdict.cases[0].why
    assert why == "raised RuntimeError: Got invalid dimensions for input: video index: 2 Got: 9 Expected: 6"
    assert verdict.cases[0].max_abs_error is None
    assert verdict.needed_atol is None


def test_running_out_of_memory_is_not_a_verdict() -> None:
    def candidate(video: Array) -> Array:
        raise MemoryError

    with pytest.raises(MemoryError):
        verdict_of(candidate)


def test_a_frozen_time_axis_is_named() -> None:
    verdict = verdict_of(lambda video: np.repeat(reference(video[:, :, :1]), 2, axis=0))
    first = verdict.cases[0]
    assert not first.passed
    assert first.why == (
        f"output has shape (2, 1, {CLASSES}), expected (1, 1, {CLASSES}): 2 output steps for 1 frames, "
        "as a time axis gives that was frozen by the export"
    )


def test_clips_and_steps_swapped_is_no_frozen_axis() -> None:
    verdict = verdict_of(lambda video: reference(video).transpose(1, 0, 2))
    assert (
        verdict.cases[1].why
        == f"output has shape (2, 1, {CLASSES}), expected (1, 2, {CLASSES}): clips and steps are swapped"
    )


def test_an_output_of_another_rank_fails() -> None:
    verdict = verdict_of(lambda video: reference(video)[0])
    assert not any(case.passed for case in verdict.cases)
    assert "expected (T', B, C)" in verdict.reasons[0]


def close_call(margin: float) -> tuple[Array, Array]:
    """Two outputs whose best classes differ at one step, where the reference's margin is ``margin``."""
    logits = np.zeros((2, 1, 3))
    logits[0, 0] = [4.0, 0.0, 0.0]
    logits[1, 0] = [0.0, 3.0 + margin, 3.0]
    swapped = logits.copy()
    swapped[1, 0, 1:] = logits[1, 0, :0:-1]
    return log_softmax(logits), log_softmax(swapped)


@pytest.mark.parametrize(("margin", "passed"), [(1e-3, True), (2e-2, False)])
def test_another_best_class_is_excused_only_where_the_margin_is_close(margin: float, passed: bool) -> None:
    expected, found = close_call(margin)
    item = ParityInput(name="x", video=np.zeros((1, 3, 8, 1, 1), np.float32), source="clips")
    case = compare(expected, found, item, Gates(atol=0.1))
    assert case.decoded_differences == 1
    assert case.decoded_differences_close == int(passed)
    assert case.argmax_agreement_clear == (1.0 if passed else 0.5)
    assert case.argmax_agreement_close == (0.0 if passed else None)
    assert case.passed == passed
    assert (case.needed_atol is None) != passed


def test_rows_that_leak_into_each_other_are_caught() -> None:
    def candidate(video: Array) -> Array:
        log_probs = reference(video)
        return log_softmax(log_probs + 0.1 * log_probs.mean(axis=1, keepdims=True))

    verdict = check_parity(candidate, candidate, INPUTS, artifact_sha256="", backend="numpy")
    assert all(case.passed for case in verdict.cases)
    assert {i.name: i.passed for i in verdict.invariances} == {
        ROWS_ALONE: False,
        IDENTICAL_ROWS: True,
        REPETITION: True,
    }
    assert not verdict.passed


def test_rows_that_know_their_place_are_caught() -> None:
    def candidate(video: Array) -> Array:
        place = np.arange(video.shape[0])[None, :, None]
        return log_softmax(reference(video) + 0.01 * place * np.arange(CLASSES))

    verdict = check_parity(candidate, candidate, INPUTS, artifact_sha256="", backend="numpy")
    assert not {i.name: i.passed for i in verdict.invariances}[IDENTICAL_ROWS]


def test_state_that_outlives_a_call_is_caught() -> None:
    calls = 0

    def candidate(video: Array) -> Array:
        nonlocal calls
        calls += 1
        return log_softmax(reference(video) + 1e-3 * calls * np.arange(CLASSES))

    verdict = verdict_of(candidate, atol=1.0, invariance_atol=1e-4, clear_margin=math.inf)
    assert not {i.name: i.passed for i in verdict.invariances}[REPETITION]


def test_a_buffer_that_the_runtime_writes_again_does_not_hide_a_difference() -> None:
    buffer: dict[tuple[int, ...], Array] = {}
    calls = 0

    def candidate(video: Array) -> Array:
        nonlocal calls
        calls += 1
        outputs = log_softmax(reference(video) + 1e-3 * calls * np.arange(CLASSES))
        kept = buffer.setdefault(outputs.shape, outputs)
        kept[...] = outputs
        return kept

    verdict = verdict_of(candidate, atol=1.0, invariance_atol=1e-4, clear_margin=math.inf)
    assert not {i.name: i.passed for i in verdict.invariances}[REPETITION]


def test_too_few_shapes_make_no_verdict() -> None:
    with pytest.raises(ValueError, match="at least 6"):
        check_parity(reference, reference, INPUTS[:5], artifact_sha256="", backend="numpy")
    with pytest.raises(ValueError, match="at least 6"):
        check_parity(reference, reference, INPUTS[:6], artifact_sha256="", backend="numpy", export_shape=(3, 9))
    single = [item for item in INPUTS if item.shape[0] == 1]
    with pytest.raises(ValueError, match="batch of 2"):
        check_parity(reference, reference, single, artifact_sha256="", backend="numpy", minimum_shapes=1)
    with pytest.raises(ValueError, match="negative"):
        verdict_of(reference, atol=-1e-4)


def test_shape_of_an_input_of_either_kind() -> None:
    assert ParityInput(name="", video=np.zeros((2, 7, 4, 4, 3), np.uint8), source="noise").shape == (2, 7)
    assert ParityInput(name="", video=np.zeros((2, 3, 7, 4, 4), np.float32), source="noise").shape == (2, 7)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_decoding_agrees_with_the_program(path: list[int]) -> None:
    from slrbench.ctc import greedy_decode as program

    log_probs = np.log(np.full((len(path), 1, 4), 0.1))
    log_probs[np.arange(len(path)), 0, path] = np.log(0.7)
    assert [greedy_decode(log_probs[:, 0])] == program(log_probs)


def test_long_messages_keep_their_ends() -> None:
    text = one_line(ValueError("begin " + "x" * 1000 + " end"))
    assert len(text) <= 300
    assert text.startswith("ValueError: begin")
    assert text.endswith(" end")
