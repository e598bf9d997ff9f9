"""``slrbench verify`` on checkpoints and artifacts, sound ones and ones that are broken on purpose."""

import json
import shutil
import warnings

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from exporters.artifact import describe_files, read_manifest, sha256_file, write_manifest
from exporters.parity_cases import CASES_NAME
from slrbench.cli.app import main
from slrbench.models import ctc_head
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME, read_card
from slrbench.training.checkpoint import save_checkpoint, update_card
from slrbench.workflows.export import export_model

LOGITS = "outputs are logits: log_softmax is missing; checkpoints trained this way must be retrained"
PROBABILITIES = "outputs are probabilities: take the logarithm (log_softmax instead of softmax)"


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(["verify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_sound_checkpoint_passes_line_by_line(saved_checkpoint, capsys):
    code, out, err = run(capsys, saved_checkpoint)
    lines = out.splitlines()
    assert code == 0
    for start in (
        "✓ PASS - Output Shape Check ",
        "✓ PASS - All values negative (log probs) ",
        "✓ PASS - Properly normalized ",
        "✓ PASS - No NaN or Inf ",
        "✓ PASS - One class for the blank, one per gloss ",
        "✓ PASS - Reload gives the same outputs ",
        "✓ PASS - Gradients reach every parameter ",
        "✓ PASS - CTC loss is finite ",
        "✓ PASS - Padding invariance ",
        "✓ PASS - T' = ceil(T/stride) for T = 1..64 ",
    ):
        assert sum(line.startswith(start) for line in lines) == 1
    assert next(line for line in lines if "Output Shape" in line).endswith("   (8, 2, 11)")
    assert lines[-1] == "✓✓✓ ALL CHECKS PASSED ✓✓✓"
    assert "next: python -m slrbench export" in err


def test_a_checkpoint_made_without_log_softmax_is_refused(tiny_model, card_of, tmp_path, monkeypatch, capsys):
    model = tiny_model("teacher")
    with monkeypatch.context() as patch:  # log_softmax was taken out, and the checkpoint made
        patch.setattr(ctc_head, "log_probabilities", lambda logits: logits.float())
        save_checkpoint(tmp_path / "m", model, card_of(model))
    code, out, err = run(capsys, tmp_path / "m")
    assert code == 1
    assert "✗ FAIL - Properly normalized" in out
    assert LOGITS in out
    assert LOGITS in err
    assert "ALL CHECKS PASSED" not in out


def test_one_altered_byte_is_refused(checkpoint_folder, capsys):
    weights = checkpoint_folder / WEIGHTS_NAME
    before = sha256_file(weights)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    code, out, err = run(capsys, checkpoint_folder)
    assert code == 1
    assert before in out
    assert sha256_file(weights) in out
    assert "✗✗✗ 1 OF 1 CHECKS FAILED ✗✗✗" in out
    assert "Weights are those of the card" in err


def test_a_card_without_stored_outputs_is_not_trusted(tiny_model, card_of, tmp_path, capsys):
    model = tiny_model("teacher")
    save_checkpoint(tmp_path / "m", model, card_of(model))
    update_card(tmp_path / "m", read_card(tmp_path / "m").model_copy(update={"probe": None}))
    code, out, _ = run(capsys, tmp_path / "m")
    assert code == 1
    assert "✗ FAIL - Outputs are those of the trained network   none are stored" in out


def test_the_id_of_a_model_is_found(checkpoint_folder, monkeypatch, capsys):
    weights = checkpoint_folder / WEIGHTS_NAME
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    models = checkpoint_folder.parent / "trained_models"
    models.mkdir()
    checkpoint_folder.rename(models / "tiny")
    monkeypatch.chdir(models.parent)
    code, out, _ = run(capsys, "tiny", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["passed"] is False
    assert document["files"][0]["path"] == "trained_models/tiny"
    assert {"name", "passed", "figure", "hint"} == set(document["files"][0]["checks"][0])


def test_a_truncated_file_is_bad_input(checkpoint_folder, capsys):
    weights = checkpoint_folder / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:5000])
    code, out, err = run(capsys, checkpoint_folder)
    assert (code, out) == (2, "")
    assert "truncated" in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "there is no checkpoint at"),
        ("nothing.onnx", "there is no file"),
        ("", "holds no checkpoint.json"),
        ("notes.txt", "is not a checkpoint"),
        ("model.pt", "a state dict alone does not say"),
        ("model.bin", "name the .xml file"),
        ("model.onnx", "is not an ONNX file"),
        ("model.torchscript", "is not a TorchScript file"),
    ],
)
def test_what_cannot_be_verified_is_bad_input(name, words, tmp_path, capsys):
    if name and not name.startswith("nothing"):
        (tmp_path / name).write_bytes(b"nonsense")
    code, out, err = run(capsys, tmp_path / name if name else tmp_path)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def exported(saved_checkpoint, tmp_path_factory):
    """The checkpoint with two artifacts; no test may change it."""
    folder = shutil.copytree(saved_checkpoint, tmp_path_factory.mktemp("exported") / "tiny")
    export_model(folder, formats=("torchscript",))
    export_model(folder, formats=("onnx",), input_kinds=("uint8",))
    return folder


@pytest.fixture
def artifacts(exported, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(exported, tmp_path / "tiny")


@pytest.mark.parametrize("name", ["model.torchscript", "model.uint8.onnx"])
def test_an_exported_file_passes(name, exported, capsys):
    code, out, _ = run(capsys, exported / name)
    assert code == 0, out
    for check in (
        "Output Shape Check",
        "Takes any batch and length",
        "Rows of a batch do not influence each other",
        "T' = ceil(T/stride) for T = 1..64",
        "File is that of the manifest (sha256)",
        "Parity with the checkpoint",
        "Built from this checkpoint",
    ):
        assert f"✓ PASS - {check} " in out


def test_an_altered_artifact_is_refused(artifacts, capsys):
    path = artifacts / "model.uint8.onnx"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    code, out, _ = run(capsys, path)
    assert code == 1
    assert "✗ FAIL - File is that of the manifest (sha256)" in out
    assert "Parity with the checkpoint" not in out
    path.write_bytes(content[:-200])
    code, _, err = run(capsys, path)
    assert code == 2
    assert "is truncated" in err


def test_an_artifact_of_other_weights_is_refused(artifacts, capsys):
    card = json.loads((artifacts / CARD_NAME).read_text())
    card["weights_sha256"] = "0" * 64
    (artifacts / CARD_NAME).write_text(json.dumps(card))
    code, out, _ = run(capsys, artifacts / "model.torchscript")
    assert code == 1
    assert "✗ FAIL - Built from this checkpoint" in out


def test_an_artifact_without_a_passing_verdict_is_refused(artifacts, capsys):
    manifest = read_manifest(artifacts)
    entries = tuple(entry.model_copy(update={"parity": None}) for entry in manifest.entries)
    (artifacts / CASES_NAME).unlink()  # by which it would be judged now
    write_manifest(artifacts, manifest.model_copy(update={"entries": entries}))
    code, out, _ = run(capsys, artifacts / "model.torchscript")
    assert code == 1
    line = next(line for line in out.splitlines() if "Parity with the checkpoint" in line)
    assert line.startswith("✗ FAIL")
    assert line.endswith("not run")


class WithoutLogSoftmax(torch.nn.Module):
    """A network of somebody else: the tiny one, cut before log_softmax."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, video):
        hidden, _ = self.model.head.lstm(self.model.encode(video, None))
        return self.model.head.classifier(hidden)


def test_a_torchscript_file_without_log_softmax_is_named(tiny_model, tiny_video, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated, and traces sizes as constants
        torch.jit.save(torch.jit.trace(WithoutLogSoftmax(tiny_model()), tiny_video), tmp_path / "theirs.torchscript")
    code, out, err = run(capsys, tmp_path / "theirs.torchscript", "--size", "32")
    assert code == 1
    assert LOGITS in out
    assert LOGITS in err


def save_strangers_onnx(path, last, *, frames="T", size="S"):
    """Mean over pixels, then ``last``: a network with 3 classes and stride 1."""
    nodes = [
        helper.make_node("ReduceMean", ["video", "axes"], ["mean"], keepdims=0),
        helper.make_node("Transpose", ["mean"], ["features"], perm=[2, 0, 1]),
        helper.make_node(last, ["features"], ["out"], **({} if last == "Identity" else {"axis": -1})),
    ]
    graph = helper.make_graph(
        nodes,
        "strangers",
        [helper.make_tensor_value_info("video", TensorProto.FLOAT, ["B", 3, frames, size, size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["T", "B", 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [3, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("last", "words"), [("Identity", LOGITS), ("Softmax", PROBABILITIES), ("LogSoftmax", "ALL CHECKS PASSED")]
)
def test_an_onnx_file_from_elsewhere_is_judged_by_its_outputs(last, words, tmp_path, capsys):
    code, out, _ = run(capsys, save_strangers_onnx(tmp_path / "theirs.onnx", last))
    assert code == (0 if last == "LogSoftmax" else 1)
    assert words in out


def test_a_frozen_time_axis_is_found(tmp_path, capsys):
    path = save_strangers_onnx(tmp_path / "frozen.onnx", "LogSoftmax", frames=32)
    code, out, _ = run(capsys, path)
    assert code == 1
    assert "✗ FAIL - Takes any batch and length" in out
    assert "froze an axis" in out
    code, out, err = run(capsys, path, "--frames", "8")
    assert code == 1
    assert "✗ FAIL - Runs on a clip" in out
    assert "--size and --frames say" in err


def test_a_fixed_frame_size_is_told_by_an_option(tmp_path, capsys):
    path = save_strangers_onnx(tmp_path / "sized.onnx", "LogSoftmax", size=48)
    assert run(capsys, path)[0] == 1
    assert run(capsys, path, "--size", "48")[0] == 0


class Strangers(torch.nn.Module):
    """Mean over pixels and log_softmax: 3 classes and stride 1, sound; its kin below are not."""

    def forward(self, video):
        return torch.log_softmax(video.mean((3, 4)).permute(2, 0, 1), dim=-1)


class FrozenTime(Strangers):
    def forward(self, video):
        return super().forward(video).reshape(32, video.shape[0], 3)


class FixedPixels(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = torch.nn.Linear(32 * 32, 4)

    def forward(self, video):
        return torch.log_softmax(self.classifier(video[:, 0].flatten(2)).transpose(0, 1), dim=-1)


class TupleOutput(Strangers):
    def forward(self, video):
        outputs = super().forward(video)
        return outputs, outputs.argmax(-1)


class FlatOutput(Strangers):
    def forward(self, video):
        return super().forward(video).flatten()


class MixedRows(Strangers):
    def forward(self, video):
        return super().forward(video - video.mean(0, keepdim=True))


def save_traced(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated, and traces sizes as constants
        torch.jit.save(torch.jit.trace(module.eval(), torch.rand(2, 3, 32, 32, 32)), path)
    return path


@pytest.mark.parametrize(
    ("module", "arguments", "failed", "words"),
    [
        (FrozenTime, (), "Takes any batch and length", "torchscript failed on input (1, 3, 48, 64, 64): shape"),
        (FrozenTime, ("--frames", "16"), "Runs on a clip", "T = 16, 64 x 64 pixels: torchscript failed on input"),
        (FixedPixels, (), "Runs on a clip", "mat1 and mat2 shapes cannot be multiplied"),
        (TupleOutput, (), "Runs on a clip", "the module gives a tuple, expected one tensor"),
        (FlatOutput, (), "Output Shape Check", "(96,)"),
        (MixedRows, (), "Rows of a batch do not influence each other", "max |difference| "),
    ],
)
def test_what_is_wrong_with_a_trace_is_a_failed_check(module, arguments, failed, words, tmp_path, capsys):
    code, out, err = run(capsys, save_traced(tmp_path / "theirs.torchscript", module()), *arguments)
    assert code == 1, err
    line = next(line for line in out.splitlines() if line.startswith(f"✗ FAIL - {failed} "))
    assert words in line
    assert "Traceback" not in out + err


def test_the_sound_trace_passes(tmp_path, capsys):
    assert run(capsys, save_traced(tmp_path / "theirs.torchscript", Strangers()))[0] == 0
    fixed = save_traced(tmp_path / "sized.torchscript", FixedPixels())
    assert run(capsys, fixed, "--size", "32")[0] == 0


class ShortOnce(torch.nn.Module):
    """11 classes and T' = ceil(T/4), but for T = 21, which no other check runs."""

    def forward(self, video):
        steps = (video.shape[2] + 3) // 4
        if video.shape[2] == 21:
            steps -= 1
        brightness = video.mean(dim=(1, 3, 4))[:, ::4].t()[:steps]
        return torch.log_softmax(brightness.unsqueeze(-1) * torch.arange(11.0), dim=-1)


def test_an_artifact_with_a_wrong_output_length_is_found(artifacts, capsys):
    path = artifacts / "model.torchscript"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls scripting deprecated
        torch.jit.save(torch.jit.script(ShortOnce()), path)
    manifest = read_manifest(artifacts)
    entry = manifest.find("torchscript")
    files, sha256, size_bytes = describe_files(artifacts, [path.name])
    described = {"files": files, "sha256": sha256, "size_bytes": size_bytes}
    entry = entry.model_copy(update={"artifact": entry.artifact.model_copy(update=described)})
    write_manifest(artifacts, manifest.with_entry(entry))
    _, out, _ = run(capsys, path)
    failed = [line for line in out.splitlines() if line.startswith("✗ FAIL")]
    assert [line.split(" - ")[1].split("   ")[0] for line in failed] == [
        "T' = ceil(T/stride) for T = 1..64",
        "Parity with the checkpoint",
    ]
    assert failed[0].endswith("T = 21 gives 5, not 6")


def test_no_file_is_verified_where_another_is_missing(tmp_path, capsys):
    good = save_strangers_onnx(tmp_path / "good.onnx", "LogSoftmax")
    code, out, err = run(capsys, good, tmp_path / "missing.onnx")
    assert (code, out) == (2, "")
    assert "there is no file" in err
    assert f"verifying {good}" not in err


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_what_was_found_is_printed_though_a_later_file_is_damaged(option, tmp_path, capsys):
    good = save_strangers_onnx(tmp_path / "good.onnx", "LogSoftmax")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    code, out, err = run(capsys, good, tmp_path / "bad.onnx", *option)
    assert code == 2
    assert "bad.onnx is not an ONNX file" in err
    assert (f"{good} (onnx)" in out and "ALL CHECKS PASSED" in out) if not option else out == ""


def test_several_files_are_told_apart(tmp_path, capsys):
    good = save_strangers_onnx(tmp_path / "good.onnx", "LogSoftmax")
    bad = save_strangers_onnx(tmp_path / "bad.onnx", "Identity")
    code, out, err = run(capsys, good, bad)
    assert code == 1
    assert f"{good} (onnx)" in out
    assert f"{bad} (onnx)" in out
    assert out.count("ALL CHECKS PASSED") == 1
    assert str(bad) in err
    assert str(good) not in err.split("error:")[1]
