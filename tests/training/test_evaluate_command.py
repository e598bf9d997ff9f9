"""``slrbench evaluate``: the same errors for a checkpoint and for the files made of it."""

import json
import shutil
import warnings

import pytest
import torch

from exporters.artifact import read_manifest, write_manifest
from slrbench.cli.app import main
from slrbench.decoding import NgramModel
from slrbench.statistics.words import wer_interval
from slrbench.training.card import read_card
from slrbench.training.checkpoint import update_card
from slrbench.workflows.export import export_model


@pytest.fixture(scope="module")
def exported(saved_checkpoint, tmp_path_factory):
    folder = shutil.copytree(saved_checkpoint, tmp_path_factory.mktemp("evaluated") / "tiny")
    export_model(folder, formats=("onnx",), input_kinds=("float32", "uint8"))
    return folder


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(["evaluate", *map(str, arguments), "--threads", "1"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_every_file_makes_the_same_errors(exported, capsys):
    found = {}
    for name, arguments in {
        "checkpoint": (exported,),
        "by backend": (exported, "--backend", "onnx"),
        "file": (exported / "model.onnx",),
        "uint8": (exported / "model.uint8.onnx",),
        "one by one": (exported, "--batch", 1),
    }.items():
        code, out, _ = run(capsys, *arguments, "--clips", 6, "--json")
        assert code == 0
        found[name] = json.loads(out)
    first = found["checkpoint"]
    assert first["accuracy"]["backend"] == "torch"
    assert first["accuracy"]["clips"] == len(first["sequences"]) == 6
    assert first["accuracy"]["artifact_sha256"] == read_card(exported).weights_sha256
    for other in found.values():
        assert other["sequences"] == first["sequences"]
        assert other["accuracy"]["counts"] == first["accuracy"]["counts"]
    assert found["by backend"]["accuracy"] == found["file"]["accuracy"]
    assert len({document["accuracy"]["artifact_sha256"] for document in found.values()}) == 3


def test_the_word_error_rate_stands_with_its_interval_over_clips(saved_checkpoint, capsys):
    code, out, _ = run(capsys, saved_checkpoint, "--clips", 6, "--json")
    accuracy = json.loads(out)["accuracy"]
    interval = wer_interval(accuracy["clip_errors"], accuracy["clip_words"])
    code, out, _ = run(capsys, saved_checkpoint, "--clips", 6)
    assert code == 0
    assert f"{100 * accuracy['wer']:.2f} ({100 * interval.low:.2f} .. {100 * interval.high:.2f})" in out


def test_the_table_shows_the_counts(saved_checkpoint, capsys):
    code, out, err = run(capsys, saved_checkpoint, "--clips", 3, "--split", "dev")
    assert code == 0
    header, _, row = out.splitlines()[:3]
    assert header.split()[:6] == ["Model", "Backend", "Split", "Clips", "WER", "(%)"]
    assert row.split()[:4] == ["tiny", "torch", "dev", "3"]
    assert ".." not in row  # three clips give no interval
    assert "evaluating torch on dev" in err


def test_another_corpus_is_said(saved_checkpoint, capsys):
    data = "fingerspelling:language=ase,letters=10,size=48"
    code, _, err = run(capsys, saved_checkpoint, "--data", data, "--clips", 1)
    assert code == 0
    assert "warning: the network was trained on" in err
    assert "warning: frames are (48, 48) pixels, in training they were (32, 32)" in err


def test_other_clips_than_in_training_are_said(checkpoint_folder, capsys):
    update_card(checkpoint_folder, read_card(checkpoint_folder).model_copy(update={"data_fingerprint": "0" * 64}))
    code, _, err = run(capsys, checkpoint_folder, "--clips", 1)
    assert code == 0
    assert "fingerprints differ" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--split", "holidays"), "unknown split 'holidays'"),
        (("--backend", "openvino"), "holds no file of backend 'openvino'"),
        (("--data", "fingerspelling:letters=26,size=32"), "glosses that the network never learned"),
    ],
)
def test_what_does_not_fit_is_bad_input(arguments, words, exported, capsys):
    code, out, err = run(capsys, exported, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_beam_search_decodes_any_artifact_and_the_report_says_so(exported, tmp_path, capsys):
    saved = tmp_path / "lm.json"
    search = ("--decoder", "beam:5", "--lm", 2, "--lm-weight", 0.3, "--save-lm", saved)
    accuracies = {}
    for name, path in {"torch": exported, "onnx": exported / "model.onnx"}.items():
        code, out, _ = run(capsys, path, *search, "--clips", 4, "--json")
        assert code == 0
        document = json.loads(out)
        accuracies[name] = document["accuracy"]
        assert document["accuracy"]["decoder"] == "beam:5,lm=2,lm_weight=0.3"
        assert document["language_model"]["order"] == 2
        assert document["language_model"]["perplexity"] > 1
    assert accuracies["torch"]["counts"] == accuracies["onnx"]["counts"]
    code, out, _ = run(capsys, exported, "--decoder", "beam:5", "--lm", saved, "--lm-weight", 0.3, "--clips", 4)
    assert code == 0
    assert f"Decoder: beam:5,lm={saved},lm_weight=0.3. Scoring: plain (glosses as they are), unit alignment" in out
    assert "Language model: order 2, perplexity" in out


def test_greedy_and_the_plain_convention_are_the_default(saved_checkpoint, capsys):
    code, out, _ = run(capsys, saved_checkpoint, "--clips", 2)
    assert code == 0
    assert "Decoder: greedy. Scoring: plain (glosses as they are), unit alignment (every error costs 1)." in out


def test_a_convention_and_an_alignment_may_be_asked_for(saved_checkpoint, capsys):
    code, out, _ = run(capsys, saved_checkpoint, "--clips", 6, "--scoring", "csl-daily", "--json")
    assert code == 0
    accuracy = json.loads(out)["accuracy"]
    assert (accuracy["scoring"], accuracy["alignment"]) == ("csl-daily", "sclite")
    code, out, _ = run(
        capsys, saved_checkpoint, "--clips", 6, "--scoring", "csl-daily", "--alignment", "unit", "--json"
    )
    again = json.loads(out)["accuracy"]
    assert (again["alignment"], again["other_alignment"]) == ("unit", accuracy["counts"])
    assert again["counts"] == accuracy["other_alignment"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--decoder", "beam"), "unknown decoder 'beam'"),
        (("--decoder", "beam:0"), "unknown decoder 'beam:0'"),
        (("--lm", "3"), "--lm does not go with greedy decoding"),
        (("--prune", "3"), "--prune does not go with greedy decoding"),
        (("--decoder", "beam:3", "--save-lm", "x.json"), "no language model to weigh or to save"),
        (("--decoder", "beam:3", "--lm", "0"), "an n-gram model of order 0"),
        (("--decoder", "beam:3", "--lm", "missing.json"), "missing.json cannot be read"),
        (("--scoring", "phoenix"), "unknown scoring 'phoenix'"),
        (("--alignment", "diagonal"), "unknown alignment 'diagonal'"),
    ],
)
def test_how_to_decode_and_to_score_is_checked(arguments, words, saved_checkpoint, capsys):
    code, out, err = run(capsys, saved_checkpoint, *arguments, "--clips", 1)
    assert (code, out) == (2, "")
    assert words in err


def test_a_language_model_over_other_glosses_is_refused(saved_checkpoint, tmp_path, capsys):
    NgramModel.train([(1, 2)], glosses=("A", "B"), order=2).write(tmp_path / "lm.json")
    code, out, err = run(capsys, saved_checkpoint, "--decoder", "beam:3", "--lm", tmp_path / "lm.json", "--clips", 1)
    assert (code, out) == (2, "")
    assert "is a language model of 2 glosses" in err


@pytest.mark.parametrize(
    ("backend", "expected", "words"),
    [
        ("foo", 2, "unknown backend 'foo', expected one of torch, torchscript, onnx, openvino, trt"),
        ("trt", 3, "backend 'trt' cannot run here: "),
    ],
)
@pytest.mark.parametrize("name", ["", "model.onnx"])
def test_an_unknown_backend_is_told_from_one_that_is_not_here(name, backend, expected, words, exported, capsys):
    code, out, err = run(capsys, exported / name, "--backend", backend)
    assert (code, out) == (expected, "")
    assert words in err


@pytest.mark.parametrize(("passed", "words"), [(False, "failed"), (None, "was not run"), (True, None)])
def test_a_file_whose_parity_failed_is_evaluated_with_a_warning(passed, words, exported, tmp_path, capsys):
    folder = shutil.copytree(exported, tmp_path / "tiny")
    manifest = read_manifest(folder)
    entry = manifest.find("onnx")
    parity = None if passed is None else entry.parity.model_copy(update={"passed": passed})
    write_manifest(folder, manifest.with_entry(entry.model_copy(update={"parity": parity})))
    for arguments in ((folder / "model.onnx",), (folder, "--backend", "onnx")):
        code, out, err = run(capsys, *arguments, "--clips", 1, "--json")
        assert code == 0
        notes = [note for note in json.loads(out)["notes"] if "parity" in note]
        assert len(notes) == (words is not None)
        if words is not None:
            assert f"warning: the parity check of model.onnx {words}" in err


def test_a_file_of_another_backend_is_bad_input(exported, capsys):
    code, _, err = run(capsys, exported / "model.onnx", "--backend", "torchscript")
    assert code == 2
    assert "is a file of backend onnx, not of torchscript" in err


def test_an_altered_file_is_refused(exported, tmp_path, capsys):
    folder = shutil.copytree(exported, tmp_path / "tiny")
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-100] ^= 1
    (folder / "model.onnx").write_bytes(content)
    code, out, err = run(capsys, folder / "model.onnx")
    assert (code, out) == (2, "")
    assert "SHA-256" in err


def test_a_file_without_a_card_needs_a_corpus(exported, tmp_path, capsys):
    path = shutil.copy(exported / "model.onnx", tmp_path / "alone.onnx")
    code, _, err = run(capsys, path)
    assert code == 2
    assert "has no card that names its corpus" in err
    code, out, err = run(capsys, path, "--data", read_card(exported).data, "--clips", 2)
    assert code == 0
    assert "alone.onnx" in out
    assert "its classes are taken to be the corpus's" in err


class FixedPixels(torch.nn.Module):
    """Takes frames of 16 x 16 pixels; the corpus has others."""

    def __init__(self):
        super().__init__()
        self.classifier = torch.nn.Linear(16 * 16, 11)

    def forward(self, video):
        return torch.log_softmax(self.classifier(video[:, 0].flatten(2)).transpose(0, 1), dim=-1)


class FrozenTime(torch.nn.Module):
    def forward(self, video):
        return video.mean((1, 3, 4)).t().reshape(16, video.shape[0], 1).expand(16, video.shape[0], 11)


class TupleOutput(torch.nn.Module):
    def forward(self, video):
        return video.mean((3, 4)), video.mean((1, 3, 4))


class FlatOutput(torch.nn.Module):
    def forward(self, video):
        return video.mean((1, 3, 4)).flatten()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (FixedPixels, "torchscript failed on input"),
        (FrozenTime, "torchscript failed on input"),
        (TupleOutput, "the module gives a tuple, expected one tensor"),
        (FlatOutput, "the output has shape"),
    ],
)
def test_a_file_that_cannot_be_run_fails_in_words(module, words, saved_checkpoint, tmp_path, capsys):
    path = tmp_path / "theirs.torchscript"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated, and traces sizes as constants
        torch.jit.save(torch.jit.trace(module().eval(), torch.rand(1, 3, 16, 16, 16)), path)
    code, out, err = run(capsys, path, "--data", read_card(saved_checkpoint).data, "--clips", 2)
    assert (code, out) == (4, "")
    assert words in err
    assert "hint:" in err or "slrbench verify" in err
    assert "bug" not in err
