"""Engines of a benchmark, on made-up GPUs: which one is measured, what is refused and why, what is exported."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.artifact import (
    Artifact,
    Manifest,
    ManifestEntry,
    ParityVerdict,
    TensorSpec,
    describe_files,
    read_manifest,
    write_manifest,
)
from exporters.engine_options import Range
from exporters.parity_cases import CASES_NAME
from slrbench.errors import BadInputError, NegativeVerdictError, RunFailedError, SlrbenchError, UnavailableError
from slrbench.measure.rounds import MeasureSettings
from slrbench.models.spec import ModelSpec
from slrbench.records import CheckResult
from slrbench.runners.availability import Availability
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME, CheckpointCard
from slrbench.workflows.bench_axes import Axes
from slrbench.workflows.bench_candidates import Plan, find_models, plan_candidates
from slrbench.workflows.bench_draft import Draft
from slrbench.workflows.bench_engines import (
    choose_engine,
    engine_options,
    fits,
    make_missing_engines,
    outside_profile,
    runs_on,
)
from slrbench.workflows.untrained import build_untrained

_SETTINGS = MeasureSettings.quick()
UINT8 = {
    "input_kind": "uint8",
    "inputs": (TensorSpec(name="video", dtype="uint8", shape=("batch", "time", 32, 32, 3)),),
}
PROFILE = {"batch": [1, 1, 8], "frames": [8, 64, 256]}
SPEC = ModelSpec(
    architecture="student", num_classes=5, width_mult=0.35, conv_channels=8, lstm_hidden=8, lstm_layers=1
)  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a checkpoint that passed its checks, without any artifact; the weights are not looked into."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / WEIGHTS_NAME).write_bytes(b"weights")
    _, sha256, size = describe_files(folder, [WEIGHTS_NAME])
    card = CheckpointCard(
        model_id="tiny", spec=SPEC, glosses=("A", "B", "C", "D"), data="fingerspelling:language=ase,letters=4,size=32",
        data_fingerprint="0", frames_per_second=25.0, frame_size=(32, 32), parameters=1000, weights_sha256=sha256,
        weights_bytes=size, verification=(CheckResult(name="all", passed=True, figure="1"),),
    )  # fmt: skip
    (folder / CARD_NAME).write_text(card.model_dump_json(), encoding="utf-8")
    return folder


def add(folder: Path, precision: str = "fp32", target: str = "trt.sm86", **changes: Any) -> Path:
    """Put an engine into the folder and its manifest; ``changes`` of the entry."""
    path = folder / f"model.{precision}.{target}.{len(list(folder.iterdir()))}.engine"
    path.write_bytes(path.name.encode())
    files, sha256, size = describe_files(folder, [path.name])
    (model,) = find_models([str(folder)])
    fields = {
        "format": "trt", "precision": precision, "target": target, "files": files, "sha256": sha256,
        "built_from_sha256": model.weights_sha256, "size_bytes": size, "built_with": {"profile": PROFILE},
        "inputs": (TensorSpec(name="video", dtype="float32", shape=("batch", 3, "time", 32, 32)),), "outputs": (),
    }  # fmt: skip
    fields |= changes.pop("artifact", {})
    passed = changes.pop("passed", True)
    verdict = None
    if passed is not None:
        reasons = () if passed else ("max error 0.3",)
        verdict = ParityVerdict(
            artifact_sha256=sha256, reference="r", backend="tensorrt", tolerance_atol=0.0, tolerance_rtol=0.0, cases=(),
            invariances=(), needed_atol=None, passed=passed, reasons=reasons,
        )  # fmt: skip
    entry = ManifestEntry(artifact=Artifact(**fields), parity=verdict, **changes)
    manifest = read_manifest(folder) or Manifest(model_id="tiny")
    write_manifest(folder, manifest.with_entry(entry))
    return path


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of compute capability 8.6 on which TensorRT runs, as far as planning is concerned."""
    for module in ("bench_files", "bench_engines"):
        monkeypatch.setattr(f"slrbench.workflows.{module}.compute_capability_here", lambda *_: "8.6")
    monkeypatch.setattr("slrbench.workflows.bench_candidates.require", lambda backend, device: None)
    monkeypatch.setattr(
        "slrbench.workflows.bench_engines.availability",
        lambda backend, device: Availability(backend=backend, device=device, available=True),
    )


def plan(folder: Path, *, failures: Any = None, allow_unverified: bool = False, **axes: Any) -> Plan:
    asked = Axes(**{"backends": ("trt",), **axes})
    return plan_candidates(find_models([str(folder)]), asked, allow_unverified=allow_unverified, engines=failures)


def only_error(found: Plan) -> SlrbenchError:
    assert found.candidates == []
    ((row, error),) = found.refused
    assert row.reason == error.message
    return error


# --- which engine fits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "capability", "expected"),
    [
        ("trt.sm90", "9.0", True),
        ("trt.sm90", "8.9", False),
        ("rtx.sm86-sm89", "8.6", True),
        ("rtx.sm86-sm89", "8.9", True),
        ("rtx.sm86-sm89", "8.0", False),
        ("rtx.sm120", "12.0", True),
        ("rtx.sm120", "1.2", False),
        ("trt.sm90", None, False),
        ("", "9.0", False),
        ("trt.", "9.0", False),
        ("tpu.sm90", "9.0", False),
    ],
)
def test_an_engine_fits_the_compute_capabilities_of_its_target(
    target: str, capability: str | None, expected: bool
) -> None:
    assert fits(target, capability) == expected


@pytest.mark.parametrize(
    ("target", "compatibility", "capability", "expected"),
    [
        ("trt.sm80", "ampere_plus", "9.0", True),
        ("trt.sm80", "ampere_plus", "12.0", True),
        ("trt.sm80", "ampere_plus", "7.5", False),
        ("trt.sm80", "ampere_plus", None, False),
        ("trt.sm80", "same_compute_capability", "9.0", False),
        ("trt.sm80", "none", "8.0", True),
        ("rtx.sm86", "ampere_plus", "9.0", False),
    ],
)
def test_an_engine_for_ampere_and_later_runs_there(
    model: Path, target: str, compatibility: str, capability: str | None, expected: bool
) -> None:
    add(model, target=target, artifact={"built_with": {"hardware_compatibility": compatibility}})
    manifest = read_manifest(model)
    assert manifest is not None
    assert runs_on(manifest.entries[0].artifact, capability) == expected


@pytest.mark.usefixtures("gpu")
def test_the_newest_engine_that_fits_is_measured_and_one_that_passed_comes_first(model: Path) -> None:
    add(model, target="trt.sm86")
    newest = add(model, target="rtx.sm86-sm89")
    add(model, target="trt.sm90")
    (candidate,) = plan(model).candidates
    assert candidate.path == str(newest)
    assert (candidate.device, candidate.precision, candidate.variant, candidate.parity) == (
        "cuda",
        "fp32",
        "",
        "passed",
    )
    add(model, target="rtx.sm80-sm86", passed=None, not_run_because="needs an RTX GPU")
    assert [c.path for c in plan(model).candidates] == [str(newest)]


@pytest.mark.usefixtures("gpu")
def test_an_engine_for_another_gpu_is_refused_and_the_targets_that_exist_are_named(model: Path) -> None:
    add(model, target="trt.sm90")
    add(model, target="rtx.sm120")
    error = only_error(plan(model))
    assert error.message == "tiny has fp32 engines for trt.sm90, rtx.sm120 only, and the GPU has 8.6"
    assert error.hint == f"python -m slrbench export {model} --formats trt --precision fp32"


def test_without_a_gpu_that_is_the_reason(model: Path) -> None:
    add(model, target="trt.sm90")
    manifest = read_manifest(model)
    assert manifest is not None
    with pytest.raises(BadInputError, match=r"engines for trt\.sm90 only, and no GPU is visible"):
        choose_engine(manifest, "fp32", "float32", model="tiny", folder=model, compute_capability=None)
    with pytest.raises(BadInputError, match="tiny has no fp16 engine with uint8 input"):
        choose_engine(manifest, "fp16", "uint8", model="tiny", folder=model, compute_capability="9.0")


@pytest.mark.usefixtures("gpu")
def test_an_engine_without_a_verdict_is_refused_and_the_hint_verifies_it(model: Path) -> None:
    path = add(model, "fp16", passed=None, not_run_because="needs an RTX GPU")
    found = plan(model, precisions=("fp16",))
    error = only_error(found)
    assert isinstance(error, NegativeVerdictError)
    assert "needs an RTX GPU" in error.message
    assert (error.hint or "").startswith(f"python -m slrbench verify {path}, or --allow-unverified")
    assert found.refused[0][0].parity == "not run"
    (allowed,) = plan(model, precisions=("fp16",), allow_unverified=True).candidates
    assert allowed.parity == "not run"


def judged_on(folder: Path, machine: str, **changes: Any) -> Path:
    """An engine that passed on that GPU."""
    path = add(folder, **changes)
    manifest = read_manifest(folder)
    assert manifest is not None
    entry = manifest.entries[-1]
    assert entry.parity is not None
    parity = entry.parity.model_copy(update={"machine": machine})
    write_manifest(folder, manifest.with_entry(entry.model_copy(update={"parity": parity})))
    return path


NAMES = ("NVIDIA GeForce RTX 3090, 24 GiB, driver 580.1", "NVIDIA RTX A6000, 48 GiB, driver 580.1")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("machine", "device", "again"),
    [
        ("NVIDIA GeForce RTX 3090, 24 GiB, driver 570.0", "cuda", False),
        ("NVIDIA GeForce RTX 3090", "cuda:0", False),
        ("", "cuda", False),  # it is not known where
        ("NVIDIA RTX A6000, 48 GiB, driver 580.1", "cuda", True),
        ("NVIDIA RTX A6000, 48 GiB, driver 580.1", "cuda:1", False),
        ("NVIDIA GeForce RTX 3090", "cuda:1", True),
        ("NVIDIA GeForce RTX 3090 Ti", "cuda", True),
        ("NVIDIA RTX A6000", "cuda:2", False),
    ],
)
def test_a_verdict_from_another_gpu_is_none_here(
    model: Path, monkeypatch: pytest.MonkeyPatch, machine: str, device: str, again: bool
) -> None:
    monkeypatch.setattr("slrbench.measure.environment.gpu_names", lambda: NAMES)
    judged_on(model, machine, target="rtx.sm86-sm89")
    error = plan(model, devices=(device,))
    if not again:
        assert [c.parity for c in error.candidates] == ["passed"]
        return
    assert (
        f"its verdict is of fp32 on {machine.partition(',')[0]}, and {device} here is NVIDIA"
        in only_error(error).message
    )
    (model / CASES_NAME).write_bytes(b"")
    found = plan(model, devices=(device,))
    assert [c.parity for c in found.candidates] == ["not run"]
    assert list(found.to_judge) == found.candidates


@pytest.mark.usefixtures("gpu")
def test_engines_are_chosen_and_made_for_the_device_that_was_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bench_files", "bench_engines"):
        monkeypatch.setattr(f"slrbench.workflows.{module}.compute_capability_here", ("8.6", "8.9").__getitem__)
    first, second = add(model, target="trt.sm86"), add(model, target="trt.sm89")
    for device, path in (("cuda", first), ("cuda:0", first), ("cuda:1", second)):
        assert [c.path for c in plan(model, devices=(device,)).candidates] == [str(path)]
    asked = []

    def export(folder: Path, *, precisions: Sequence[str], engine: Any, **_: Any) -> Any:
        asked.append((precisions, engine.device, engine.compute_capabilities))
        return SimpleNamespace(failed=())

    axes = Axes(backends=("trt",), devices=("cuda:1", "cuda"), precisions=("fp16",))
    make_missing_engines(find_models([str(model)]), axes, export=export)
    assert asked == [(["fp16"], 1, ("8.9",)), (["fp16"], 0, ("8.6",))]


@pytest.mark.usefixtures("gpu")
def test_an_engine_that_failed_is_refused_with_its_reason_and_exported_again(model: Path) -> None:
    add(model, passed=False)
    found = plan(model)
    assert "parity failed: max error 0.3" in only_error(found).message
    assert "slrbench export" in (only_error(found).hint or "")


@pytest.mark.usefixtures("gpu")
def test_shapes_outside_of_the_profile_are_refused_in_words_and_the_others_measured(model: Path) -> None:
    add(model)
    found = plan(model, batches=(1, 8, 16), frames=(4, 64, 300))
    assert [(c.batch, c.frames) for c in found.candidates] == [(1, 64), (8, 64)]
    reasons = [row.reason for row, _ in found.refused]
    assert len(reasons) == 3
    for words in ("batch 16, and its profile has 1 to 8", "frames 4, and its profile has 8 to 256", "frames 300, and"):
        assert any(words in reason for reason in reasons)


def test_an_engine_whose_profile_is_not_known_is_asked_for_any_shape(model: Path) -> None:
    add(model, artifact={"built_with": {}})
    manifest = read_manifest(model)
    assert manifest is not None
    assert outside_profile(manifest.entries[0], 1000, 1) is None


@pytest.mark.usefixtures("gpu")
def test_every_precision_opens_its_own_engine_and_a_cuda_graph_the_same(model: Path) -> None:
    paths = [str(add(model, precision)) for precision in ("fp32", "tf32", "fp16")]
    (model / CASES_NAME).write_bytes(b"")  # with cases at hand, the benchmark itself judges the replayed graph
    found = plan(model, precisions=("fp32", "tf32", "fp16", "bf16"), cuda_graph=True)
    assert [c.path for c in found.candidates] == paths
    assert {c.variant for c in found.candidates} == {"cuda-graph"}
    assert [row.precision for row, _ in found.refused] == ["bf16"]


@pytest.mark.usefixtures("gpu")
def test_a_cuda_graph_is_refused_where_nothing_is_there_to_judge_its_replay_by(model: Path) -> None:
    add(model)
    found = plan(model, cuda_graph=True)
    assert not found.candidates
    assert "no parity cases lie beside it" in found.refused[0][0].reason


def test_where_tensorrt_cannot_run_there_is_one_row_for_each_precision_and_not_for_each_shape(model: Path) -> None:
    found = plan(model, precisions=("fp32", "fp16"), batches=(1, 8), frames=(8, 64), input_kinds=("float32", "uint8"))
    assert [(row.precision, row.device) for row, _ in found.refused] == [("fp32", "cuda"), ("fp16", "cuda")]
    assert {type(error) for _, error in found.refused} == {UnavailableError}


# --- making engines ---------------------------------------------------------------------------------------------------


class Exporter:
    """Stands in for the export: notes what it is asked for, and makes of it what ``target`` says, or fails."""

    def __init__(self, target: str = "trt.sm86", *, error: Exception | None = None, failed: Sequence[str] = ()) -> None:
        self.target, self.error, self.failed = target, error, failed
        self.asked: list[dict[str, Any]] = []

    def __call__(self, folder: Path, **options: Any) -> Any:
        self.asked.append(options)
        if self.error is not None:
            raise self.error
        (kind,) = options["input_kinds"]
        for precision in options["precisions"]:
            if precision not in self.failed:
                add(folder, precision, self.target, artifact=UINT8 if kind == "uint8" else {})
        return SimpleNamespace(failed=[SimpleNamespace(precision=p, reason="no memory") for p in self.failed])


def make(folder: Path, export: Exporter, **axes: Any) -> tuple[dict[str, Manifest], Any, Axes]:
    asked = Axes(**{"backends": ("trt",), **axes})
    made, failures = make_missing_engines(find_models([str(folder)]), asked, export=export)
    return made, failures, asked


@pytest.mark.usefixtures("gpu")
def test_what_a_model_lacks_is_exported_for_each_input_and_nothing_else(model: Path) -> None:
    add(model, "fp32", "rtx.sm86-sm89")
    add(model, "fp16", "trt.sm90")
    export = Exporter()
    made, failures, _ = make(model, export, precisions=("fp32", "fp16"), input_kinds=("float32", "uint8"))
    asked = [(call["input_kinds"], list(call["precisions"])) for call in export.asked]
    assert asked == [(("float32",), ["fp16"]), (("uint8",), ["fp32", "fp16"])]
    assert all(call["formats"] == ("trt",) for call in export.asked)
    assert failures == {}
    assert made["tiny"] == read_manifest(model)
    assert len(plan(model, precisions=("fp32", "fp16"), input_kinds=("float32", "uint8")).candidates) == 4
    again = Exporter()
    assert make(model, again, precisions=("fp32", "fp16"))[0] == {}
    assert again.asked == []


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("export", "kind", "words"),
    [
        (Exporter(error=BadInputError("the corpus is gone", hint="get it")), BadInputError, "the corpus is gone"),
        (Exporter(error=UnavailableError("no builder", hint="pip")), UnavailableError, "no builder"),
        (Exporter(failed=("fp32",)), RunFailedError, "no memory"),
    ],
    ids=["bad input", "unavailable", "one artifact failed"],
)
def test_an_engine_that_could_not_be_made_is_a_row_that_says_why(
    model: Path, export: Exporter, kind: type[SlrbenchError], words: str
) -> None:
    _, failures, _ = make(model, export)
    error = only_error(plan(model, failures=failures))
    assert type(error) is kind
    assert error.message == f"tiny has no fp32 engine for this GPU, and making one failed: {words}"


@pytest.mark.usefixtures("gpu")
def test_a_machine_without_torch_says_so_and_goes_on(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.workflows.bench_engines.find_spec", lambda name: None)
    _, failures = make_missing_engines(find_models([str(model)]), Axes(backends=("trt",)))
    error = only_error(plan(model, failures=failures))
    assert "torch is not installed here" in error.message
    assert "slrbench pack" in (error.hint or "")


@pytest.mark.usefixtures("gpu")
def test_a_checkpoint_that_did_not_pass_its_checks_is_not_exported(model: Path) -> None:
    (found,) = find_models([str(model)])
    assert found.card is not None
    for verification in ((), (CheckResult(name="all", passed=False, figure="0"),)):
        card = found.card.model_copy(update={"verification": verification})
        (model / CARD_NAME).write_text(card.model_dump_json(), encoding="utf-8")
        export = Exporter()
        assert make(model, export)[:2] == ({}, {})
        assert export.asked == []


def test_nothing_is_exported_without_a_gpu_or_without_being_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Exporter()
    assert make(model, export)[:2] == ({}, {})
    assert make(model, export, backends=("onnx",))[:2] == ({}, {})
    assert export.asked == []


def test_the_profile_of_an_exported_engine_holds_the_shapes_that_are_measured() -> None:
    usual = engine_options(Axes(), "9.0")
    assert (usual.batch, usual.frames) == (Range(min=1, opt=1, max=8), Range(min=1, opt=64, max=256))
    assert usual.compute_capabilities == ()  # TensorRT-RTX has no such target
    wide = engine_options(Axes(batches=(1, 32), frames=(64, 512)), "8.6")
    assert (wide.batch.max, wide.frames.max, wide.compute_capabilities) == (32, 512, ("8.6",))


@pytest.mark.usefixtures("gpu")
def test_a_network_with_random_weights_gets_engines_of_its_own(tmp_path: Path) -> None:
    """With the real TensorRT-RTX builder, for a GPU that is not here."""
    pytest.importorskip("tensorrt_rtx_bindings")
    text = "student:width_mult=0.35,conv_channels=8,lstm_hidden=8,lstm_layers=1,num_classes=5,size=32"
    axes = Axes(backends=("trt",), precisions=("int8",), frames=(8,))
    network = build_untrained(text, tmp_path / "0", backends=axes.backends, input_kinds=axes.input_kinds)
    made, failures = make_missing_engines([network], axes)
    assert failures == {}
    (entry,) = made[network.model_id].entries
    assert (entry.artifact.precision, entry.artifact.target) == ("int8", "rtx.sm86")
    assert entry.artifact.built_with["profile"]["frames"] == [1, 64, 256]
    (candidate,) = plan_candidates([replace(network, manifest=made[network.model_id])], axes).candidates
    assert (candidate.precision, candidate.untrained, candidate.parity) == ("int8", True, "not run")
    assert sorted(path.suffix for path in (tmp_path / "0").iterdir() if "onnx" in path.name) == []


# --- the report -------------------------------------------------------------------------------------------------------


def test_engines_that_were_not_run_stand_in_the_report_with_their_graphs_verdict(model: Path) -> None:
    graph = ParityVerdict(
        artifact_sha256="0" * 64, reference="r", backend="onnx", tolerance_atol=0.0, tolerance_rtol=0.0, cases=(),
        invariances=(), needed_atol=None, passed=True, gates="fp16",
    )  # fmt: skip
    add(model, "fp16", "rtx.sm86-sm89", passed=None, not_run_because="needs an RTX GPU", network_parity=graph)
    add(model, "fp32", "rtx.sm86-sm89", passed=None, not_run_because="needs an RTX GPU")
    add(model, "fp16", "trt.sm86")
    models = find_models([str(model)])

    def not_run(**axes: Any) -> list[tuple[str, str, bool]]:
        asked = Axes(**axes)
        draft = Draft(
            title="t", command="", axes=asked, settings=_SETTINGS, wer_clips=0, models=models,
            plan=plan_candidates(models, asked),
        )  # fmt: skip
        rows = draft.report(None).not_run
        return [(row["precision"], row["because"], row["network_parity"] is not None) for row in rows]

    why = "needs an RTX GPU"
    assert not_run(backends=("trt",), precisions=("fp32", "fp16")) == [("fp16", why, True), ("fp32", why, False)]
    assert not_run(backends=("trt",)) == [("fp32", why, False)]
    assert not_run(backends=("onnx",)) == []
