"""A file that passed on the CPU and runs in another way is judged by the benchmark, with the gates of its precision."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exporters.artifact import Artifact, ManifestEntry, ParityVerdict, WerDifference
from exporters.comparison import ParityInput
from exporters.parity_cases import CASES_NAME, write_parity_cases
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip
from slrbench.errors import BadInputError, NegativeVerdictError, RunFailedError
from slrbench.measure.rounds import MeasureResult, MeasureSettings
from slrbench.models.spec import ModelSpec
from slrbench.records import Candidate, CheckResult, Measurement
from slrbench.reporting.render_markdown import render_markdown
from slrbench.training.card import WEIGHTS_NAME, CheckpointCard
from slrbench.workflows.bench import require_passed_parity
from slrbench.workflows.bench_axes import Axes, Way
from slrbench.workflows.bench_candidates import BenchModel, Manifest, Plan, plan_candidates
from slrbench.workflows.bench_draft import Draft
from slrbench.workflows.bench_files import find_file
from slrbench.workflows.bench_parity import judge, stored_reference, wer_difference

SHAPES = ((1, 4), (2, 4), (1, 7), (3, 5), (1, 12), (2, 9))
SPEC = ModelSpec(
    architecture="student", num_classes=5, width_mult=0.35, conv_channels=8, lstm_hidden=8, lstm_layers=1
)  # fmt: skip


def network(video: NDArray[Any]) -> NDArray[np.float32]:
    """``(B, 3, T, H, W)`` to log-probabilities ``(T, B, W)``: the mean over channels and rows, normalised."""
    scores = 4.0 * video.astype(np.float64).mean(axis=(1, 3)).transpose(1, 0, 2)
    log_probs: NDArray[np.float32] = (scores - np.log(np.exp(scores).sum(-1, keepdims=True))).astype(np.float32)
    return log_probs


def rounded(video: NDArray[Any]) -> NDArray[np.float32]:
    """The same network on a GPU that rounds what it reads: off by more than fp32 may be and less than fp16 may."""
    return network(video * np.float32(1.002))


@pytest.fixture
def model(tmp_path: Path) -> BenchModel:
    """A checkpoint that passed its checks, with parity cases beside it; the weights are not looked into."""
    from exporters.artifact import describe_files

    (tmp_path / WEIGHTS_NAME).write_bytes(b"weights")
    _, sha256, size = describe_files(tmp_path, [WEIGHTS_NAME])
    card = CheckpointCard(
        model_id="tiny", spec=SPEC, glosses=("A", "B", "C", "D"), data="fingerspelling:language=ase,letters=4,size=32",
        data_fingerprint="0", frames_per_second=25.0, frame_size=(8, 4), parameters=1, weights_sha256=sha256,
        weights_bytes=size, verification=(CheckResult(name="all", passed=True, figure="1"),),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    inputs = [
        ParityInput(name=f"{b}x{t}", video=rng.integers(0, 256, (b, t, 8, 4, 3), dtype=np.uint8), source="noise")
        for b, t in SHAPES
    ]
    outputs = [network(normalise(item.video)) for item in inputs]
    write_parity_cases(tmp_path / CASES_NAME, inputs, outputs, reference="torch", built_from_sha256=sha256)
    return BenchModel(
        model_id="tiny", folder=tmp_path, spec=SPEC, frame_size=(8, 4), parameters=1, weights_sha256=sha256,
        manifest=Manifest(model_id="tiny"), card=card,
    )  # fmt: skip


def way(**changes: Any) -> Way:
    return Way(**{"backend": "torch", "device": "cpu", "precision": "fp32", "variant": "", **changes})


@pytest.mark.parametrize(
    ("changes", "judged"),
    [
        ({}, False),
        ({"device": "cuda"}, True),
        ({"device": "cuda", "precision": "fp16"}, True),
        ({"variant": "compile"}, True),
    ],
    ids=str,
)
def test_a_verdict_of_the_cpu_is_none_of_another_way(model: BenchModel, changes: dict[str, str], judged: bool) -> None:
    file = find_file(model, way(**changes), "float32", {})
    assert (file.parity, file.judge_here) == (("not run", True) if judged else ("passed", False))


def test_without_parity_cases_such_a_file_is_refused(model: BenchModel) -> None:
    (model.folder / CASES_NAME).unlink()
    axes = Axes(backends=("torch",), torch_modes=("eager", "compile"), frames=(4,))
    plan = plan_candidates([model], axes)
    assert [c.variant for c in plan.candidates] == [""]
    ((row, error),) = plan.refused
    assert isinstance(error, NegativeVerdictError)
    assert row.reason.endswith("its verdict is not of fp32 on cpu, compile, and no parity cases lie beside it")
    assert (error.hint or "").startswith(f"python -m slrbench export {model.folder}")
    allowed = plan_candidates([model], axes, allow_unverified=True)
    assert [(c.variant, c.parity) for c in allowed.candidates] == [("", "passed"), ("compile", "not run")]


def test_a_checkpoint_that_failed_its_checks_is_not_judged_but_refused(model: BenchModel) -> None:
    assert model.card is not None
    card = model.card.model_copy(update={"verification": (CheckResult(name="all", passed=False, figure="0"),)})
    file = find_file(replace(model, card=card), way(device="cuda"), "float32", {})
    assert (file.parity, file.judge_here) == ("failed", False)


def compiled(model: BenchModel, **axes: Any) -> tuple[Plan, Candidate, Draft]:
    asked = Axes(**{"backends": ("torch",), "torch_modes": ("compile",), "frames": (4,), **axes})
    plan = plan_candidates([model], asked)
    settings = MeasureSettings.quick()
    draft = Draft(title="t", command="", axes=asked, settings=settings, wer_clips=0, models=[model], plan=plan)
    return plan, plan.candidates[0], draft


@pytest.mark.parametrize(
    ("precision", "infer", "passed"),
    [("fp32", network, True), ("fp32", rounded, False), ("fp16", rounded, True), ("tf32", rounded, True)],
)
def test_the_gates_are_those_of_the_precision(
    model: BenchModel, precision: str, infer: Callable[[NDArray[Any]], NDArray[np.float32]], passed: bool
) -> None:
    _, candidate, _ = compiled(model)
    reference = stored_reference(model.folder, model.weights_sha256)
    asked = candidate.model_copy(update={"precision": precision, "device": "cuda"})
    verdict = judge(asked, infer, reference, machine="Example GPU")
    assert (verdict.passed, verdict.gates, verdict.machine, verdict.backend) == (
        passed, precision, "Example GPU", "torch",
    )  # fmt: skip
    assert len(verdict.cases) == len(SHAPES)


CLIPS = "fingerspelling:language=ase,letters=4,size=32"


class Clips:
    """A split of three clips whose glosses are what the network above never reads."""

    name = "dev"

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Clip:
        rng = np.random.default_rng(index)
        frames = rng.integers(0, 256, (4, 8, 4, 3), dtype=np.uint8)
        return Clip(clip_id=str(index), frames=frames, glosses=("A", "B"), labels=(1, 2), signer="s")

    def label_length(self, index: int) -> int:
        return 2


def int8_entry(model: BenchModel, reference: float | None) -> ManifestEntry:
    """An int8 file of that model, whose export judged it by the dev split, or by nothing."""
    wer = None if reference is None else WerDifference(
        split="dev", clips=3, reference=reference, candidate=reference, allowed=0.01
    )  # fmt: skip
    verdict = ParityVerdict(
        artifact_sha256="0" * 64, reference="r", backend="onnx", tolerance_atol=0.0, tolerance_rtol=0.0, cases=(),
        invariances=(), needed_atol=None, wer=wer, passed=True,
    )  # fmt: skip
    artifact = Artifact(
        format="onnx", precision="int8", files=(), sha256="0" * 64, built_from_sha256=model.weights_sha256,
        size_bytes=1, inputs=(), outputs=(), built_with={},
    )  # fmt: skip
    return ManifestEntry(artifact=artifact, parity=verdict)


def test_int8_without_a_word_error_rate_has_no_verdict(model: BenchModel) -> None:
    _, candidate, _ = compiled(model)
    asked = candidate.model_copy(update={"precision": "int8", "device": "cuda"})
    reference = stored_reference(model.folder, model.weights_sha256)
    with pytest.raises(BadInputError, match="judged by its word error rate, too"):
        judge(asked, network, reference, machine="")
    for entry in (None, int8_entry(model, None)):
        with pytest.raises(BadInputError, match="the checkpoint's on the same clips is not known"):
            wer_difference(asked, network, entry, model.card, model.folder)


@pytest.mark.parametrize(("reference", "passed"), [(1.0, True), (0.5, False)])
def test_int8_is_judged_by_the_clips_that_its_export_was_judged_by(
    model: BenchModel, monkeypatch: pytest.MonkeyPatch, reference: float, passed: bool
) -> None:
    opened = []

    def open_corpus(spec: str, *, cache: Path | None) -> Any:
        return SimpleNamespace(split=lambda name: opened.append((spec, name)) or Clips())

    monkeypatch.setattr("slrbench.workflows.bench_parity.open_corpus", open_corpus)
    _, candidate, _ = compiled(model)
    asked = candidate.model_copy(update={"precision": "int8", "device": "cuda"})

    def blank(video: NDArray[Any]) -> NDArray[np.float32]:
        scores = np.full((video.shape[2], video.shape[0], 5), np.log(0.01), dtype=np.float32)
        scores[..., 0] = np.log(0.96)
        return scores

    wer = wer_difference(asked, blank, int8_entry(model, reference), model.card, model.folder)
    assert opened == [(CLIPS, "dev")]
    assert wer is not None
    assert (wer.clips, wer.candidate, wer.reference) == (3, 1.0, reference)
    verdict = judge(asked, network, stored_reference(model.folder, model.weights_sha256), machine="", wer=wer)
    assert (verdict.passed, verdict.wer) == (passed, wer)
    assert any("WER on 3 clips of dev is 100.00%" in reason for reason in verdict.reasons) == (not passed)
    assert wer_difference(candidate, blank, None, model.card, model.folder) is None


def test_an_int8_candidate_that_cannot_be_judged_is_not_run_and_a_note_says_why(model: BenchModel) -> None:
    plan, candidate, draft = compiled(model)
    asked = candidate.model_copy(update={"precision": "int8", "device": "cuda"})
    plan.to_judge[asked] = model.folder
    draft.add_verdict(asked, network)
    assert draft.report(measured(asked)).summary[0].parity == "not run"
    assert "parity was not run: int8 is judged by its word error rate, too" in draft.notes[0]


def test_a_uint8_candidate_is_given_raw_frames(model: BenchModel) -> None:
    _, candidate, _ = compiled(model)
    seen = set()

    def infer(frames: NDArray[Any]) -> NDArray[np.float32]:
        seen.add(str(frames.dtype))
        return network(normalise(frames))

    reference = stored_reference(model.folder, model.weights_sha256)
    assert judge(candidate.model_copy(update={"input_kind": "uint8"}), infer, reference, machine="").passed
    assert seen == {"uint8"}


def measured(candidate: Candidate) -> MeasureResult:
    measurement = Measurement(
        candidate=candidate, requested={}, actual={}, compute_s=(0.1,), end_to_end_s=(0.1,), round_of=(0,)
    )
    return MeasureResult(measurements=(measurement,), skipped=(), errors=(), order=((0,),))


@pytest.mark.parametrize(("infer", "word"), [(network, "passed"), (rounded, "failed")])
def test_the_verdict_stands_in_the_row_and_in_the_report(
    model: BenchModel, infer: Callable[[NDArray[Any]], NDArray[np.float32]], word: str
) -> None:
    plan, candidate, draft = compiled(model)
    assert plan.to_judge == {candidate: model.folder}
    assert candidate.parity == "not run"
    assert {row.parity for row in draft.report(measured(candidate)).summary} == {"not run"}
    draft.add_verdict(candidate, infer)
    report = draft.report(measured(candidate))
    assert {row.parity for row in report.summary} == {word}
    ((key, verdict),) = report.verdicts.items()
    assert key == f"{model.weights_sha256} cpu fp32 compile"
    assert (verdict["judged_here"], verdict["backend"], verdict["variant"]) == (True, "torch", "compile")
    assert "| torch (compile) |" in render_markdown(report).split("## Parity")[1]
    if word == "passed":
        require_passed_parity(report)
        return
    with pytest.raises(NegativeVerdictError, match=r"parity failed in this benchmark: tiny on torch \(fp32, cpu\)"):
        require_passed_parity(report)


def test_a_file_is_judged_once_in_each_way_and_not_at_each_shape(model: BenchModel) -> None:
    plan, _, draft = compiled(model, frames=(4, 8), torch_modes=("eager", "compile"))
    calls = []

    def infer(frames: NDArray[Any]) -> NDArray[np.float32]:
        calls.append(frames.shape)
        return network(frames)

    counts = []
    for candidate in plan.candidates:
        draft.add_verdict(candidate, infer)
        counts.append(len(calls))
    assert counts[0] == counts[1] == 0  # eager fp32 on the CPU is the reference itself
    assert counts[2] == counts[3] > len(SHAPES)


def test_a_file_that_stops_running_fails_with_the_reason(model: BenchModel) -> None:
    _, candidate, draft = compiled(model)

    def infer(frames: NDArray[Any]) -> NDArray[np.float32]:
        if frames.shape[0] > 1:
            raise RunFailedError("out of memory")
        return network(frames)

    draft.add_verdict(candidate, infer)
    (verdict,) = draft.report(measured(candidate)).verdicts.values()
    assert verdict["passed"] is False
    assert any("out of memory" in reason for reason in verdict["reasons"])


def test_cases_of_other_weights_give_no_verdict_and_a_note(model: BenchModel) -> None:
    with pytest.raises(BadInputError, match="of other weights"):
        stored_reference(model.folder, "0" * 64)
    _, candidate, draft = compiled(replace(model))
    (model.folder / CASES_NAME).write_bytes(b"damaged")
    draft.add_verdict(candidate, network)
    report = draft.report(measured(candidate))
    assert {row.parity for row in report.summary} == {"not run"}
    assert "parity was not run: " in report.notes[0]


def test_cases_that_prove_nothing_give_no_verdict_and_a_note(model: BenchModel) -> None:
    video = np.zeros((1, 4, 8, 4, 3), dtype=np.uint8)
    write_parity_cases(
        model.folder / CASES_NAME, [ParityInput(name="1x4", video=video, source="noise")], [network(normalise(video))],
        reference="torch", built_from_sha256=model.weights_sha256,
    )  # fmt: skip
    _, candidate, draft = compiled(model)
    draft.add_verdict(candidate, network)
    report = draft.report(measured(candidate))
    assert {row.parity for row in report.summary} == {"not run"}
    assert "parity was not run: the parity cases: parity at 1 (B, T)" in report.notes[0]
