"""From a build machine to a target machine: pack, then verify, bench and evaluate what was packed."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from exporters.artifact import (
    Artifact,
    Manifest,
    ManifestEntry,
    describe_files,
    read_manifest,
    write_manifest,
)
from exporters.parity_cases import CASES_NAME, read_parity_cases, write_parity_cases
from slrbench.cli.app import main
from slrbench.errors import BadInputError, NegativeVerdictError, UnavailableError
from slrbench.measure.rounds import MeasureSettings
from slrbench.measure.sampling import SamplingRule
from slrbench.runners import availability
from slrbench.workflows import stored_parity
from slrbench.workflows.archive import PackRecord, unpack
from slrbench.workflows.bench import BenchOptions, bench
from slrbench.workflows.bench_candidates import Axes
from slrbench.workflows.pack import pack_model
from slrbench.workflows.stored_parity import StoredJudge

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def entry_of(folder: Path, name: str) -> ManifestEntry:
    return next(entry for entry in manifest_of(folder).entries if entry.artifact.path == name)


def change_entry(folder: Path, name: str, **changes: Any) -> ManifestEntry:
    manifest = manifest_of(folder)
    entries = tuple(e.model_copy(update=changes) if e.artifact.path == name else e for e in manifest.entries)
    write_manifest(folder, manifest.model_copy(update={"entries": entries}))
    return entry_of(folder, name)


def spoil(folder: Path, name: str = "model.onnx") -> None:
    """Let an ONNX file compute something else, and its manifest say that this very file had passed."""
    graph = onnx.load(folder / name)
    weights = max(graph.graph.initializer, key=lambda each: len(each.raw_data))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1.5, weights.name))
    onnx.save(graph, folder / name)
    entry = entry_of(folder, name)
    files, sha256, size = describe_files(folder, [name])
    described = {"files": files, "sha256": sha256, "size_bytes": size}
    assert entry.parity is not None
    change_entry(
        folder,
        name,
        artifact=entry.artifact.model_copy(update=described),
        parity=entry.parity.model_copy(update={"artifact_sha256": sha256}),
    )


def add_engine(
    folder: Path, name: str = "model.fp16.sm86.rtx.engine", *, why: str = "needs an RTX GPU"
) -> ManifestEntry:
    """An engine for a GPU that is not here, as the exporter leaves it."""
    (folder / name).write_bytes(b"an engine")
    files, sha256, size = describe_files(folder, [name])
    like = entry_of(folder, "model.onnx").artifact.model_dump()
    described = {
        "format": "trt", "precision": "fp16", "target": "rtx.sm86", "files": files, "sha256": sha256,
        "size_bytes": size,
    }  # fmt: skip
    entry = ManifestEntry(artifact=Artifact(**(like | described)), not_run_because=why)
    write_manifest(folder, manifest_of(folder).with_entry(entry))
    return entry


# --- pack -------------------------------------------------------------------------------------------------------------


def test_pack_writes_an_archive_that_names_its_files(model: Path, tmp_path: Path, run: Run) -> None:
    archive = tmp_path / "out.slrpack.zip"
    code, out, err = run("pack", model, "--output", archive, "--clips", 3)
    assert code == 0
    for name in ("model.onnx", "model.uint8.onnx", "model.openvino.xml"):
        assert re.search(rf"^{re.escape(name)} +fp32 +passed ", out, re.MULTILINE)
    assert f"wrote {archive}" in err
    assert "next: python -m slrbench verify out.slrpack.zip" in err
    with zipfile.ZipFile(archive) as file:
        record = PackRecord.model_validate_json(file.read("pack.json"))
        readme = file.read("README.txt").decode()
    assert "slr/bin/pip install -r out/requirements.txt out/slrbench-" in readme
    assert "slr/bin/python -m slrbench bench out --backend onnx,openvino\n" in readme
    assert "--no-deps" not in readme
    assert max(map(len, readme.splitlines())) <= 105
    assert "README.txt in it says how to install there" in err
    assert record.model_id == "tiny"
    assert "model.openvino.bin" in {entry.name for entry in record.files}
    assert "checkpoint.safetensors" not in {entry.name for entry in record.files}
    assert record.left_out == ()


def test_the_archive_is_called_like_the_model_and_lies_here(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pack_model(model, clips=0).path == Path("tiny.slrpack.zip")


def test_the_same_model_gives_the_same_bytes(exported: Path, packed: Path, tmp_path: Path) -> None:
    again = pack_model(exported, output=tmp_path / "again.slrpack.zip", clips=6).path.read_bytes()
    # The text for people names the archive.
    other = pack_model(exported, output=tmp_path / "other" / packed.name, clips=6).path.read_bytes()
    assert other == packed.read_bytes()
    assert len(again) > 0


def test_what_failed_parity_stays_out_with_its_reason(model: Path, tmp_path: Path, run: Run) -> None:
    parity = entry_of(model, "model.onnx").parity
    assert parity is not None
    failed = parity.model_copy(update={"passed": False, "reasons": ("noise 1x1: wrong",)})
    change_entry(model, "model.onnx", parity=failed)
    code, out, err = run("pack", model, "-o", tmp_path / "a.slrpack.zip", "--clips", 0, "--json")
    assert code == 0
    assert json.loads(out)["pack"]["left_out"] == [{"artifact": "onnx", "reason": "parity failed: noise 1x1: wrong"}]
    assert "onnx is left out: parity failed: noise 1x1: wrong" in err
    unpacked = unpack(tmp_path / "a.slrpack.zip")
    assert [e.artifact.path for e in manifest_of(unpacked.folder).entries] == [
        "model.openvino.xml", "model.uint8.onnx",
    ]  # fmt: skip
    assert not (unpacked.folder / "model.onnx").exists()


def altered_file(model: Path) -> str:
    (model / "model.onnx").write_bytes(b"another")
    return "is not the file of the manifest"


def missing_file(model: Path) -> str:
    (model / "model.openvino.bin").unlink()
    return "model.openvino.bin is missing"


def no_verdict(model: Path) -> str:
    change_entry(model, "model.onnx", parity=None)
    return "parity was not run for this file"


def other_weights(model: Path) -> str:
    artifact = entry_of(model, "model.onnx").artifact.model_copy(update={"built_from_sha256": "0" * 64})
    change_entry(model, "model.onnx", artifact=artifact)
    return "from other weights"


def graph_failed(model: Path) -> str:
    parity = entry_of(model, "model.onnx").parity
    assert parity is not None
    add_engine(model)
    failed = parity.model_copy(update={"passed": False, "reasons": ("wrong",)})
    change_entry(model, "model.fp16.sm86.rtx.engine", network_parity=failed)
    return "parity of its graph failed: wrong"


@pytest.mark.parametrize("spoilt", [altered_file, missing_file, no_verdict, other_weights, graph_failed])
def test_what_cannot_be_trusted_stays_out(spoilt: Callable[[Path], str], model: Path, tmp_path: Path) -> None:
    words = spoilt(model)
    (left_out,) = pack_model(model, output=tmp_path / "a.slrpack.zip", clips=0).record.left_out
    assert words in left_out.reason


def test_where_nothing_is_left_there_is_no_archive(model: Path, tmp_path: Path, run: Run) -> None:
    for name in ("model.onnx", "model.openvino.xml", "model.uint8.onnx"):
        change_entry(model, name, parity=None)
    code, _, err = run("pack", model, "-o", tmp_path / "a.slrpack.zip")
    assert code == 1
    assert "no artifact can be packed" in err
    assert "onnx-uint8: parity was not run" in err
    assert not (tmp_path / "a.slrpack.zip").exists()


def test_formats_and_precisions_choose(model: Path, tmp_path: Path) -> None:
    found = pack_model(model, output=tmp_path / "a.slrpack.zip", formats=["openvino"], clips=0)
    assert [entry.artifact.path for entry in found.entries] == ["model.openvino.xml"]
    assert {each.reason for each in found.record.left_out} == {"onnx is not among the formats that were asked for"}
    with pytest.raises(NegativeVerdictError, match="no artifact can be packed"):
        pack_model(model, output=tmp_path / "b.slrpack.zip", precisions=["fp16"], clips=0)
    with pytest.raises(BadInputError, match="unknown format 'onx'"):
        pack_model(model, output=tmp_path / "b.slrpack.zip", formats=["onx"])
    with pytest.raises(BadInputError, match="is not a name for an archive"):
        pack_model(model, output=tmp_path, clips=0)


def test_what_nobody_asked_for_is_no_warning(model: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run("pack", model, "-o", tmp_path / "a.slrpack.zip", "--formats", "openvino", "--clips", 0)
    assert code == 0
    assert "warning" not in err
    assert "2 artifacts of other formats or precisions not packed" in err
    change_entry(model, "model.onnx", parity=None)  # of what was asked for, one is missing
    code, _, err = run("pack", model, "-o", tmp_path / "b.slrpack.zip", "--formats", "onnx", "--clips", 0)
    assert code == 0
    assert "onnx is left out: parity was not run for this file" in err
    assert err.count("warning") == 1
    assert "1 artifact of other formats or precisions not packed" in err


def test_tables_with_long_names_and_reasons_fit_the_terminal(model: Path, tmp_path: Path, run: Run) -> None:
    name = "model.uint8.fp16.sm86-sm89.rtx.engine"
    add_engine(model, name, why=("needs an RTX GPU of compute capability 8.6 or 8.9 and its driver, " * 2).strip())
    archive = tmp_path / "a.slrpack.zip"
    code, out, _ = run("pack", model, "-o", archive, "--clips", 2)
    assert code == 0
    assert re.search(rf"^{re.escape(name)} +fp16 +not run +", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 100
    code, out, _ = run("verify", archive)
    assert code == 0
    assert name in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("given", ["archive", "folder"])
def test_packing_what_was_packed_is_refused_without_talk_of_exports(given: str, archive: Path, run: Run) -> None:
    path = archive if given == "archive" else unpack(archive).folder
    code, _, err = run("pack", path, "-o", "again.slrpack.zip", "--clips", 0)
    assert code == 2
    assert "export" not in err
    assert ("is an archive already" if given == "archive" else "holds no checkpoint") in err
    assert not Path("again.slrpack.zip").exists()


def test_a_model_that_was_not_exported_is_refused(model: Path, tmp_path: Path) -> None:
    cases = read_parity_cases(model / CASES_NAME)
    write_parity_cases(
        model / CASES_NAME,
        cases.inputs,
        [cases(item.video) for item in cases.inputs],
        reference=cases.name,
        built_from_sha256="0" * 64,
    )
    with pytest.raises(BadInputError, match="is of other weights than the checkpoint's"):
        pack_model(model, output=tmp_path / "a.slrpack.zip")
    (model / CASES_NAME).unlink()
    with pytest.raises(BadInputError, match="there are no parity cases"):
        pack_model(model, output=tmp_path / "a.slrpack.zip")
    (model / "manifest.json").unlink()
    with pytest.raises(BadInputError, match="holds no artifacts"):
        pack_model(model, output=tmp_path / "a.slrpack.zip")


# --- verify an archive ------------------------------------------------------------------------------------------------


def test_every_artifact_of_an_archive_is_judged_here(archive: Path, run: Run) -> None:
    code, out, err = run("verify", archive)
    assert code == 0, err
    assert re.search(
        r"^WER: on the 6 packed clips of the \d+ of test; the checkpoint itself: [\d.]+ % on them$", out, re.M
    )
    for name in ("model.onnx", "model.uint8.onnx", "model.openvino.xml"):
        assert re.search(rf"^{re.escape(name)} +fp32 +passed +\d.\de-\d\d +[\d.]+$", out, re.MULTILINE)
        parity = entry_of(Path("tiny"), name).parity
        assert parity is not None
        assert parity.machine
        assert parity.wer is not None
        assert (parity.wer.split, parity.wer.clips) == ("test", 6)
        assert parity.reference.endswith(", stored")
    assert "unpacked into tiny" in err
    assert "next: python -m slrbench bench tiny --backend onnx,openvino" in err
    code, out, err = run("verify", "tiny", "--json")
    document = json.loads(out)
    assert (code, document["passed"], document["files"]) == (0, True, [])
    assert document["packs"][0]["reused"] is True
    assert [a["verdict"] for a in document["packs"][0]["artifacts"]] == ["passed"] * 3


def test_an_artifact_that_computes_something_else_fails_here(model: Path, tmp_path: Path, run: Run) -> None:
    spoil(model)
    archive = pack_model(model, output=tmp_path / "a.slrpack.zip", formats=["onnx"], clips=2).path
    code, out, err = run("verify", archive)
    assert code == 1
    assert re.search(r"^model.onnx +fp32 +failed ", out, re.MULTILINE)
    assert re.search(r"^model.uint8.onnx +fp32 +passed ", out, re.MULTILINE)
    assert "1 of 2 artifacts failed parity here" in err
    assert "outside atol 0.0001" in err
    assert entry_of(tmp_path / "a", "model.onnx").parity_word == "failed"
    assert entry_of(tmp_path / "a", "model.uint8.onnx").parity_word == "passed"
    with pytest.raises(NegativeVerdictError, match="parity failed"):
        bench(BenchOptions(models=(str(archive),), axes=Axes(backends=("onnx",))))


def test_an_artifact_that_reads_worse_fails_by_its_word_error_rate(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of this pack is said to have made no error at all; a random network makes many."""
    real = StoredJudge.of

    def perfect(folder: Path) -> StoredJudge:
        judge = real(folder)
        assert judge.packed is not None
        assert judge.packed.about.reference is not None
        counts = judge.packed.about.reference.model_copy(update={"substitutions": 0, "deletions": 0, "insertions": 0})
        object.__setattr__(judge.packed, "about", judge.packed.about.model_copy(update={"reference": counts}))
        return judge

    monkeypatch.setattr(StoredJudge, "of", perfect)
    monkeypatch.setattr(availability, "find_spec", without("openvino"))  # one runtime is enough
    code, _, err = run("verify", archive)
    assert code == 1
    assert re.search(r"WER on 6 clips of test is [\d.]+%, the reference's 0.00%", err)


def test_a_file_that_its_runtime_cannot_load_has_failed(model: Path, tmp_path: Path, run: Run) -> None:
    (model / "model.onnx").write_bytes(b"nonsense")
    entry = entry_of(model, "model.onnx")
    files, sha256, size = describe_files(model, ["model.onnx"])
    assert entry.parity is not None
    change_entry(
        model,
        "model.onnx",
        artifact=entry.artifact.model_copy(update={"files": files, "sha256": sha256, "size_bytes": size}),
        parity=entry.parity.model_copy(update={"artifact_sha256": sha256}),
    )
    pack_model(model, output=tmp_path / "a.slrpack.zip", formats=["onnx"], clips=0)
    code, _, err = run("verify", tmp_path / "a.slrpack.zip")
    assert code == 1
    assert "onnx: it cannot be loaded: " in err


def without(*missing: str) -> Callable[[str], object]:
    real = availability.find_spec
    return lambda name: None if name in missing else real(name)


def test_artifacts_whose_runtime_is_not_here_are_rows(
    model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine(model)
    archive = pack_model(model, output=tmp_path / "a.slrpack.zip", clips=0).path
    monkeypatch.setattr(availability, "find_spec", without("openvino"))
    code, out, err = run("verify", archive)
    assert code == 0, err
    assert re.search(r"^model.onnx +fp32 +passed ", out, re.MULTILINE)
    assert re.search(r"^model.openvino.xml +fp32 +not run +– +–$", out, re.MULTILINE)
    said = " ".join(out.split())  # long lines are wrapped
    assert re.search(r"not run: model.openvino.xml: .*the package openvino is not installed not run: ", said)
    assert re.search(r"^model.fp16.sm86.rtx.engine +fp16 +not run +– +–$", out, re.MULTILINE)
    assert out.count("not run: ") == 2
    assert "WER: no clips are packed" in out
    engine = entry_of(tmp_path / "a", "model.fp16.sm86.rtx.engine")
    assert (engine.parity, engine.not_run_because) == (None, "needs an RTX GPU")
    kept = entry_of(tmp_path / "a", "model.openvino.xml").parity
    assert kept == entry_of(model, "model.openvino.xml").parity


def test_where_no_runtime_is_here_nothing_is_said_of_the_artifacts(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "find_spec", without("openvino", "onnxruntime"))
    code, out, err = run("verify", archive)
    assert code == 3
    assert len(re.findall(r"^\S+ +fp32 +not run ", out, re.MULTILINE)) == 3
    assert out.count("not run: ") == 2  # once for each runtime, with the files that it is the reason for
    assert "not run: model.onnx, model.uint8.onnx: " in " ".join(out.split())
    assert "none of its artifacts can run here" in err
    with zipfile.ZipFile(archive) as file:
        assert Path("tiny/manifest.json").read_bytes() == file.read("manifest.json")


def test_an_interruption_keeps_the_verdicts_so_far(archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoredJudge.judge

    def interrupted(self: StoredJudge, entry: ManifestEntry, **options: Any) -> Any:
        if entry.artifact.format == "openvino":
            raise KeyboardInterrupt
        return real(self, entry, **options)

    monkeypatch.setattr(StoredJudge, "judge", interrupted)
    code, _, err = run("verify", archive)
    assert code == 130
    assert "interrupted" in err
    machines = [e.parity.machine for e in manifest_of(Path("tiny")).entries if e.parity is not None]
    assert [bool(machine) for machine in machines] == [True, False, False]
    monkeypatch.undo()


def test_a_tampered_archive_is_bad_input(archive: Path, run: Run) -> None:
    archive.write_bytes(archive.read_bytes()[:-500])
    code, out, err = run("verify", archive)
    assert (code, out) == (2, "")
    assert "is cut short or not a pack" in err  # what is left ends in a whole archive: the one of the clips
    assert run("verify", "nothing.slrpack.zip")[0] == 2
    code, _, err = run("verify", archive, archive, "--into", "there")
    assert code == 2
    assert "--into goes with one archive" in err


# --- bench and evaluate what was packed -------------------------------------------------------------------------------


def test_an_archive_is_benched_on_its_own_clips(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_corpus(spec: str) -> None:
        raise AssertionError(f"{spec} was opened")

    monkeypatch.setattr("slrbench.workflows.bench_clips.open_corpus", no_corpus)
    sampling = SamplingRule(min_calls=5, min_time_s=0.0, throughput_time_s=0.001, warmup_cap_s=0.2)
    report = bench(
        BenchOptions(
            models=(str(archive),),
            axes=Axes(backends=("torch", "onnx", "openvino"), frames=(16,)),
            settings=MeasureSettings(rounds=2, processes=1, sampling=sampling, limit_s=60.0),
        )
    )
    assert [row.backend for row in report.summary if row.scope == "compute"] == ["onnx", "openvino"]
    (skipped,) = report.skipped
    assert (skipped.backend, skipped.reason) == ("torch", "the pack of tiny holds no checkpoint")
    assert [(a.split, a.clips) for a in report.accuracies] == [("test", 6)] * 2
    assert report.accuracies[0].data.startswith("fingerspelling:")
    assert "packed test clips of fingerspelling" in report.measurements[0].actual["inputs"]
    (note,) = [note for note in report.notes if "packed with it" in note]
    assert re.fullmatch(r"tiny: 6 of the \d+ clips of test are packed with it: no WER here rests on more", note)


def test_a_packed_file_is_evaluated_on_the_packed_clips(archive: Path, run: Run, monkeypatch: Any) -> None:
    unpack(archive)
    code, out, err = run("evaluate", "tiny/model.onnx", "--json", "--threads", 1)
    assert code == 0
    accuracy = json.loads(out)["accuracy"]
    assert (accuracy["clips"], accuracy["split"]) == (6, "test")
    assert "measured on the 6 packed clips of" in err
    code, out, _ = run("evaluate", "tiny", "--backend", "openvino", "--json", "--threads", 1)
    assert json.loads(out)["accuracy"]["clips"] == 6
    monkeypatch.setattr("slrbench.data.find_spec", lambda name: None)
    code, _, err = run("evaluate", "tiny/model.onnx", "--split", "dev")
    assert code == 3
    assert "cannot be opened here" in err


# --- verify one file by the stored cases ------------------------------------------------------------------------------


def test_a_file_without_a_verdict_is_judged_by_the_cases_beside_it(model: Path, run: Run) -> None:
    change_entry(model, "model.onnx", parity=None, not_run_because="needs something")
    code, out, _ = run("verify", model / "model.onnx")
    assert code == 0
    assert re.search(r"✓ PASS - Parity with the checkpoint +passed on .+, max \|error\| \d", out)
    entry = entry_of(model, "model.onnx")
    assert (entry.parity_word, entry.not_run_because) == ("passed", "")
    code, out, _ = run("verify", model / "model.onnx")
    assert "passed, as recorded in manifest.json" in out


def test_again_judges_what_has_a_verdict(model: Path, run: Run) -> None:
    spoil(model)
    assert entry_of(model, "model.onnx").parity_word == "passed"
    code, out, _ = run("verify", model / "model.onnx", "--again")
    assert code == 1
    assert re.search(r"✗ FAIL - Parity with the checkpoint +failed on .+outside atol", out)
    assert entry_of(model, "model.onnx").parity_word == "failed"
    # Of several files of a manifest, only that one was spoken of, and they are in the order that they were.
    names = [entry.artifact.path for entry in manifest_of(model).entries]
    assert names == ["model.onnx", "model.openvino.xml", "model.uint8.onnx"]
    (model / CASES_NAME).unlink()
    code, _, err = run("verify", model / "model.onnx", "--again")
    assert code == 2
    assert "there are no parity cases" in err


def test_the_cases_of_another_checkpoint_are_refused(model: Path, run: Run) -> None:
    other_weights(model)
    before = (model / "manifest.json").read_bytes()
    code, _, err = run("verify", model / "model.onnx", "--again")
    assert code == 2
    assert "is of another checkpoint than model.onnx" in err
    assert (model / "manifest.json").read_bytes() == before


def test_cases_that_prove_nothing_are_refused(model: Path, run: Run) -> None:
    cases = read_parity_cases(model / CASES_NAME)
    few = cases.inputs[:2]
    outputs = [cases(item.video) for item in few]
    write_parity_cases(
        model / CASES_NAME, few, outputs, reference=cases.name, built_from_sha256=cases.built_from_sha256
    )
    code, _, err = run("verify", model / "model.onnx", "--again")
    assert code == 2
    assert "at least 6 are needed" in err


@pytest.mark.skipif(availability.cuda_device_count() > 0, reason="there is a GPU")
def test_an_engine_without_a_gpu_is_not_judged(model: Path, run: Run) -> None:
    add_engine(model)
    before = (model / "manifest.json").read_bytes()
    for options in ((), ("--again",)):
        code, out, err = run("verify", model / "model.fp16.sm86.rtx.engine", *options)
        assert (code, out) == (3, "")
        assert "no CUDA device is visible" in err
    assert (model / "manifest.json").read_bytes() == before
    (model / "model.fp16.sm86.rtx.engine").write_bytes(b"an Engine")
    assert run("verify", model / "model.fp16.sm86.rtx.engine")[0] == 1


def test_an_engine_for_another_gpu_or_version_is_not_judged(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = add_engine(model)
    judge = StoredJudge.of(model)
    monkeypatch.setattr(stored_parity, "require", lambda backend, device: None)
    monkeypatch.setattr(stored_parity, "compute_capability_here", lambda: "9.0")
    with pytest.raises(UnavailableError, match=r"needs a GPU of compute capability 8\.6, the one here has 9\.0"):
        judge.judge(entry)

    def of_another_version(*arguments: Any, **options: Any) -> None:
        raise BadInputError("it was built with another version")

    monkeypatch.setattr(stored_parity, "open_runner", of_another_version)
    monkeypatch.setattr(stored_parity, "compute_capability_here", lambda: "8.6")
    with pytest.raises(UnavailableError, match="cannot be loaded here: it was built with another version"):
        judge.judge(entry)
    compatible = entry.artifact.model_copy(update={"built_with": {"hardware_compatibility": "ampere_plus"}})
    monkeypatch.setattr(stored_parity, "compute_capability_here", lambda: "9.0")
    with pytest.raises(UnavailableError, match="cannot be loaded here"):
        judge.judge(entry.model_copy(update={"artifact": compatible}))


def test_an_engine_without_a_manifest_cannot_be_judged(tmp_path: Path, run: Run) -> None:
    (tmp_path / "theirs.engine").write_bytes(b"an engine")
    code, _, err = run("verify", tmp_path / "theirs.engine")
    assert code == 2
    assert "is in no manifest.json" in err


def test_int8_is_not_judged_without_clips(model: Path, tmp_path: Path, run: Run) -> None:
    graph = onnx.load(model / "model.onnx")
    onnx.helper.set_model_props(graph, {p.key: p.value for p in graph.metadata_props} | {"precision": "int8"})
    onnx.save(graph, model / "model.onnx")
    files, sha256, size = describe_files(model, ["model.onnx"])
    update = {"precision": "int8", "files": files, "sha256": sha256, "size_bytes": size}
    entry = entry_of(model, "model.onnx")
    assert entry.parity is not None
    parity = entry.parity.model_copy(update={"artifact_sha256": sha256})
    change_entry(model, "model.onnx", artifact=entry.artifact.model_copy(update=update), parity=parity)
    code, _, err = run("verify", model / "model.onnx", "--again")
    assert code == 3
    assert "there are no clips here" in err
    archive = pack_model(model, output=tmp_path / "a.slrpack.zip", formats=["onnx"], precisions=["int8"], clips=2).path
    assert run("verify", archive)[0] == 0
    parity = entry_of(tmp_path / "a", "model.onnx").parity
    assert parity is not None
    assert (parity.gates, parity.wer and parity.wer.clips) == ("int8", 2)


# --- hints on a target, where nothing can be exported -----------------------------------------------------------------


def test_no_hint_on_a_target_speaks_of_exports(archive: Path, run: Run) -> None:
    folder = unpack(archive).folder
    commands: list[tuple[Any, ...]] = [
        ("verify", folder / "missing.onnx"),
        ("verify", folder / "checkpoint.json"),
        ("evaluate", folder),
        ("evaluate", archive),
        ("evaluate", folder, "--backend", "torchscript"),
    ]
    for command in commands:
        code, _, err = run(*command)
        assert code == 2, command
        assert "hint: " in err
        assert "export" not in err, command
    assert "hint: --backend onnx or openvino says which file is meant" in run("evaluate", archive)[2]
    path = folder / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    code, out, err = run("verify", path)
    assert code == 1
    assert "remove tiny, and unpack the archive again" in err
    assert "export" not in out + err
    path.write_bytes(content[:-100])
    code, _, err = run("verify", path)
    assert code == 2
    assert "export" not in err
    path.write_bytes(content)
    spoil(folder)
    code, out, err = run("verify", path, "--again")
    assert code == 1
    assert "pack the model again where it was trained" in err
    assert "export" not in err


def test_an_archive_is_evaluated_by_its_name(archive: Path, run: Run) -> None:
    code, out, err = run("evaluate", archive, "--backend", "onnx", "--threads", 1)
    assert code == 0, err
    assert re.search(r"^tiny +onnx +test +6 ", out, re.MULTILINE)
    assert "measured on the 6 packed clips of" in err
    assert "next: python -m slrbench bench tiny" in err
    assert "measured on 2 of the 6 packed clips of" in run("evaluate", archive, "--backend", "onnx", "--clips", 2)[2]
    code, out, _ = run("evaluate", "--help")
    assert "an archive that pack wrote" in " ".join(out.split())


@pytest.mark.skipif(availability.cuda_device_count() > 0, reason="there is a GPU")
def test_an_engine_that_cannot_be_judged_is_not_told_to_be_measured(model: Path, archive: Path, run: Run) -> None:
    add_engine(model)
    code, _, err = run("verify", model / "model.fp16.sm86.rtx.engine")
    assert code == 3
    assert f"hint: python -m slrbench pack {model} takes engines to the machine that has the GPU" in err
    assert "bench" not in err.replace("slrbench", "")
    folder = unpack(archive).folder
    add_engine(folder)
    code, _, err = run("verify", folder / "model.fp16.sm86.rtx.engine")
    assert code == 3
    assert "hint: python -m slrbench doctor says how to get what is missing here" in err
