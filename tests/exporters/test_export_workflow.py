"""From a checkpoint's folder to files, verdicts and a manifest; and the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exporters import to_onnx, to_openvino, to_torchscript
from exporters.artifact import MANIFEST_NAME, describe_files, read_manifest, sha256_file
from exporters.input_adapter import EXAMPLE_SHAPE
from exporters.parity_cases import CASES_NAME
from slrbench.cli.app import main
from slrbench.data import open_corpus
from slrbench.errors import BadInputError, NegativeVerdictError, RunFailedError, SlrbenchError
from slrbench.training.card import OutputProbe, read_card
from slrbench.training.checkpoint import load_checkpoint, save_checkpoint, update_card
from slrbench.workflows.export import ExportResult, export_model, raise_worst
from slrbench.workflows.parity_reference import parity_inputs

MODELS = ("teacher", "student")
FILES = {
    ("torchscript", "float32"): ["model.torchscript"],
    ("torchscript", "uint8"): ["model.uint8.torchscript"],
    ("onnx", "float32"): ["model.onnx"],
    ("onnx", "uint8"): ["model.uint8.onnx"],
    ("openvino", "float32"): ["model.openvino.xml", "model.openvino.bin"],
    ("openvino", "uint8"): ["model.uint8.openvino.xml", "model.uint8.openvino.bin"],
}


@pytest.fixture
def student(checkpoints: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the student's folder with nothing exported."""
    folder = tmp_path / "trained_models" / "tiny-student"
    folder.mkdir(parents=True)
    for name in ("checkpoint.json", "checkpoint.safetensors", "CARD.md"):
        shutil.copy(checkpoints["student"] / name, folder)
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"checkpoint.json", "checkpoint.safetensors", "CARD.md"}


@pytest.mark.parametrize("model", MODELS)
def test_every_format_and_input_passes_parity(exported: dict[str, ExportResult], model: str) -> None:
    result = exported[model]
    result.raise_for_failures()
    assert {(e.artifact.format, e.artifact.input_kind) for e in result.entries} == set(FILES)
    for entry in result.entries:
        verdict = entry.parity
        assert verdict is not None
        assert verdict.passed, verdict.reasons
        assert "tried_before" not in entry.artifact.built_with
        assert verdict.artifact_sha256 == entry.artifact.sha256
        assert verdict.backend == entry.artifact.format
        assert (verdict.tolerance_atol, verdict.tolerance_rtol) == (1e-4, 1e-4)
        assert len({(case.batch, case.frames) for case in verdict.cases} - {(2, 16)}) >= 6
        assert {case.source for case in verdict.cases} == {"clips", "noise"}
        assert any(case.frames % 4 for case in verdict.cases)
        assert verdict.needed_atol is not None
        assert verdict.needed_atol < 1e-5
        # A comparison of outputs that are the same for every input would say nothing.
        assert any(case.mean_abs_error for case in verdict.cases)


@pytest.mark.parametrize("model", MODELS)
def test_the_manifest_says_what_lies_in_the_folder(exported: dict[str, ExportResult], model: str) -> None:
    folder = exported[model].manifest_path.parent
    card = read_card(folder)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.model_id == f"tiny-{model}"
    assert manifest.entries == exported[model].entries
    assert names_in(folder) == {MANIFEST_NAME, CASES_NAME, *(name for names in FILES.values() for name in names)}
    for key, names in FILES.items():
        entry = manifest.find(key[0], input_kind=key[1])
        assert entry is not None
        artifact = entry.artifact
        assert [file.name for file in artifact.files] == names
        assert (artifact.files, artifact.sha256, artifact.size_bytes) == describe_files(folder, names)
        assert artifact.built_from_sha256 == card.weights_sha256 == sha256_file(folder / "checkpoint.safetensors")
        shape = ("batch", "time", 32, 32, 3) if key[1] == "uint8" else ("batch", 3, "time", 32, 32)
        assert (artifact.inputs[0].name, artifact.inputs[0].dtype, artifact.inputs[0].shape) == ("video", key[1], shape)
        assert artifact.outputs[0].shape == ("steps", "batch", card.spec.num_classes)
        assert artifact.built_with["build_s"] > 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_every_file_carries_what_a_loader_must_know(exported: dict[str, ExportResult], model: str, kind: str) -> None:
    folder = exported[model].manifest_path.parent
    card = read_card(folder)
    readers = {
        "torchscript": to_torchscript.read_metadata,
        "onnx": to_onnx.read_metadata,
        "openvino": to_openvino.read_metadata,
    }
    for format, read in readers.items():
        metadata = read(folder / FILES[format, kind][0])
        assert json.loads(metadata["vocabulary"]) == list(card.glosses)
        assert metadata["stride"] == "4"
        assert metadata["blank"] == "0"
        assert metadata["normalisation"] == "x/127.5-1"
        assert metadata["normalised_in_graph"] == ("true" if kind == "uint8" else "false")
        assert metadata["input_kind"] == kind
        assert metadata["checkpoint_sha256"] == card.weights_sha256
        assert json.loads(metadata["frame_size"]) == [32, 32]


@pytest.mark.parametrize("model", MODELS)
def test_onnx_has_real_lstm_nodes_and_its_weights_inside(exported: dict[str, ExportResult], model: str) -> None:
    folder = exported[model].manifest_path.parent
    manifest = read_manifest(folder)
    assert manifest is not None
    for kind in ("float32", "uint8"):
        graph = onnx.load(folder / FILES["onnx", kind][0], load_external_data=False).graph
        operators = [node.op_type for node in graph.node]
        assert operators.count("LSTM") == 2
        assert not {"Loop", "Scan", "If"} & set(operators)
        assert not any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in graph.initializer)
        entry = manifest.find("onnx", input_kind=kind)
        assert entry is not None
        assert entry.artifact.built_with["lstm_nodes"] == 2
        openvino_entry = manifest.find("openvino", input_kind=kind)
        assert openvino_entry is not None
        assert openvino_entry.artifact.built_with["onnx_sha256"] == entry.artifact.sha256


def test_openvino_alone_is_made_from_an_onnx_file_that_does_not_stay(student: Path) -> None:
    export_model(student, formats=["openvino"]).raise_for_failures()
    assert names_in(student) == {MANIFEST_NAME, CASES_NAME, *FILES["openvino", "float32"]}


def test_a_file_that_fails_parity_stays_in_the_manifest_and_the_others_go_on(student: Path) -> None:
    # Under a tolerance of zero only an artifact that is equal bit by bit passes: the unfrozen trace.
    result = export_model(student, formats=["torchscript", "onnx"], exporter="torchscript", tolerance=0.0)
    torchscript, onnx_entry = result.entries
    assert torchscript.parity_word == "passed"
    assert torchscript.artifact.built_with["frozen"] is False
    (tried,) = torchscript.artifact.built_with["tried_before"]
    assert tried.startswith("frozen: parity failed")
    assert onnx_entry.parity_word == "failed"
    assert result.rejected == (onnx_entry,)
    manifest = read_manifest(student)
    assert manifest is not None
    assert manifest.entries == result.entries
    assert onnx_entry.artifact.sha256 == sha256_file(student / "model.onnx")
    with pytest.raises(NegativeVerdictError, match="1 of 2 artifacts failed parity") as caught:
        result.raise_for_failures()
    assert caught.value.hint is not None
    assert "onnx: parity failed: " in caught.value.hint
    # The next export replaces the entry and the verdict.
    export_model(student, formats=["onnx"]).raise_for_failures()
    manifest = read_manifest(student)
    assert manifest is not None
    assert {e.artifact.format: e.parity_word for e in manifest.entries} == {"torchscript": "passed", "onnx": "passed"}


def test_an_export_that_crashes_is_named_and_the_others_go_on(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.export import _patches

    monkeypatch.delattr(_patches, "register_lstm_while_loop_decomposition")  # as in a torch that lacks it
    result = export_model(student, formats=["torchscript", "onnx"], exporter="dynamo")
    assert [e.artifact.format for e in result.entries] == ["torchscript"]
    assert [(f.format, f.input_kind) for f in result.failed] == [("onnx", "float32")]
    assert names_in(student) == {MANIFEST_NAME, CASES_NAME, "model.torchscript"}
    with pytest.raises(RunFailedError, match="1 of 2 artifacts could not be exported") as caught:
        result.raise_for_failures()
    assert "freezes the time axis" in (caught.value.hint or "")


def test_entries_of_other_weights_are_dropped(student: Path) -> None:
    export_model(student, formats=["torchscript"])
    model, card = load_checkpoint(student)
    with torch.no_grad():
        model.head.classifier.bias[0] += 1.0
    save_checkpoint(student, model, card)
    result = export_model(student, formats=["onnx"])
    manifest = read_manifest(student)
    assert manifest is not None
    assert manifest.entries == result.entries
    assert manifest.entries[0].artifact.format == "onnx"


def test_a_manifest_that_cannot_be_read_is_written_anew(student: Path) -> None:
    (student / MANIFEST_NAME).write_text("{")
    result = export_model(student, formats=["torchscript"])
    assert read_manifest(student) is not None
    result.raise_for_failures()


def test_a_network_that_gave_logits_when_it_was_saved_is_not_exported(student: Path) -> None:
    card = read_card(student)
    assert card.probe is not None
    update_card(student, card.model_copy(update={"probe": OutputProbe.of(card.probe.outputs() + 2.5)}))
    with pytest.raises(NegativeVerdictError, match="outputs are logits: log_softmax is missing"):
        export_model(student, formats=["torchscript"])
    assert names_in(student) == set()


def test_a_network_of_nan_is_not_exported(student: Path) -> None:
    model, card = load_checkpoint(student)
    with torch.no_grad():
        model.head.classifier.weight[0, 0] = torch.nan
    save_checkpoint(student, model, card)
    with pytest.raises(NegativeVerdictError, match="is not exported"):
        export_model(student, formats=["torchscript"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"formats": ["onxx"]}, "unknown format 'onxx', expected some of torchscript, onnx, openvino"),
        ({"formats": []}, "no format was given"),
        ({"input_kinds": ["int8"]}, "unknown input 'int8'"),
        ({"exporter": "legacy"}, "unknown exporter 'legacy', expected some of auto, torchscript, dynamo"),
        ({"tolerance": 1e-3}, "--tolerance is 0.001, expected 0 to"),
    ],
)
def test_wrong_arguments_are_refused(student: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        export_model(student, **arguments)  # type: ignore[arg-type]
    assert names_in(student) == set()


def test_inputs_are_real_clips_and_noise_at_ten_shapes_other_than_the_exports() -> None:
    split = open_corpus("fingerspelling:language=ase,letters=8,size=32").split("dev")
    inputs = parity_inputs(split, (32, 32))
    assert len({item.shape for item in inputs} - {EXAMPLE_SHAPE}) == 10
    clips = [item for item in inputs if item.source == "clips"]
    np.testing.assert_array_equal(clips[0].video[0], split[0].frames[: clips[0].shape[1]])
    assert [item.shape[0] for item in clips] == [1, 2, 3]
    assert all(item.name == f"{item.source} {item.shape[0]}x{item.shape[1]}" for item in inputs)
    for one, other in zip(inputs, parity_inputs(split, (32, 32)), strict=True):
        np.testing.assert_array_equal(one.video, other.video)
    with pytest.raises(BadInputError, match="the network takes"):
        parity_inputs(split, (48, 48))


def test_the_command_prints_a_table_and_the_manifest(
    student: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(student.parent.parent)
    assert main(["export", "--formats", "torchscript,onnx"]) == 0
    out, err = capsys.readouterr()
    header, _, rule, *rows = out.rstrip("\n").split("\n")
    assert header.split("  ")[0] == "Model"
    assert set(rule) == {"-", " "}
    assert [row.split()[:3] + row.split()[4:5] for row in rows] == [
        ["tiny-student", "torchscript", "float32", "passed"],
        ["tiny-student", "onnx", "float32", "passed"],
    ]
    assert "wrote trained_models/tiny-student/manifest.json" in err
    assert err.rstrip("\n").split("\n")[-1] == "next: python -m slrbench bench tiny-student"


def test_the_command_takes_ids_and_prints_json(
    student: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(student.parent.parent)
    arguments = ["export", "tiny-student", "--formats", "onnx", "--exporter", "torchscript", "--json"]
    assert main([*arguments, "--tolerance", "0"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["manifests"] == ["trained_models/tiny-student/manifest.json"]
    (artifact,) = document["models"][0]["artifacts"]
    assert (artifact["format"], artifact["parity"]) == ("onnx", "failed")
    assert artifact["reasons"]
    assert "error: tiny-student: 1 of 1 artifacts failed parity and stay out of benchmarks" in captured.err
    assert "next:" not in captured.err
    assert main(arguments) == 0


def test_models_elsewhere_are_named_by_their_folder(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = student.rename(tmp_path / "else where")
    assert main(["export", str(elsewhere), "--formats", "torchscript"]) == 0
    assert capsys.readouterr().err.endswith(f"next: python -m slrbench bench '{elsewhere}'\n")


@pytest.mark.parametrize("turned", [False, True])
def test_the_worst_error_is_raised_and_the_others_are_told(turned: bool) -> None:
    parity, failed = NegativeVerdictError("parity", hint="look"), RunFailedError("crashed")
    errors: list[SlrbenchError] = [failed, parity] if turned else [parity, failed]
    told = []
    with pytest.raises(RunFailedError, match="crashed"):
        raise_worst(errors, lambda message, hint: told.append((message, hint)))
    assert told == [("parity", "look")]
    raise_worst([], lambda message, hint: told.append((message, hint)))
    assert len(told) == 1


def test_the_command_answers_4_where_a_file_could_not_be_made(
    student: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch.export import _patches

    monkeypatch.delattr(_patches, "register_lstm_while_loop_decomposition")
    assert main(["export", str(student), "--formats", "torchscript,onnx", "--exporter", "dynamo"]) == 4
    captured = capsys.readouterr()
    assert "not made" in captured.out
    assert "onnx: torch" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "there is no model 'nobody'"),
        ([], "there is no model in trained_models"),
        (["."], "holds no checkpoint.json"),
    ],
)
def test_a_model_that_is_not_there_is_bad_input(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_is_said_in_words(
    student: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import tempfile

    def refuse(*args: object, **kwargs: object) -> str:
        raise PermissionError(13, "Permission denied", str(student))

    # Permissions do not bind the superuser, as whom tests may run.
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    assert main(["export", str(student)]) == 4
    assert "no permission" in capsys.readouterr().err
    assert names_in(student) == set()
