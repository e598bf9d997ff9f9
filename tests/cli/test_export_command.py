"""What ``export`` says before it loads torch, and how its table looks."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.artifact import Artifact, ArtifactFile, ManifestEntry, ParityVerdict
from slrbench.cli import console
from slrbench.cli.app import COMMANDS
from slrbench.cli.export_table import HEADERS, next_command, rows

WITHOUT = "import sys; sys.modules[{name!r}] = None; from slrbench.cli.app import main; sys.exit(main(sys.argv[1:]))"


def export_without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where a package is not installed."""
    code = WITHOUT.format(name=package)
    command = [sys.executable, "-c", code, "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_without_a_package_it_is_not_available_and_the_hint_installs_it(package: str, tmp_path: Path) -> None:
    done = export_without(package, str(tmp_path), "--formats", "trt")
    assert done.returncode == 3, done.stderr
    assert f"error: the package {package} is not installed" in done.stderr
    assert f"hint: pip install {package}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--tolerance", "1"], "--tolerance is 1, expected 0 to 0.0001"),
        (["--tolerance", "nan"], "--tolerance is nan"),
        (["--formats", "trt", "--precision", "fp8"], "unknown precision 'fp8'"),
        (["--formats", "tflite"], "unknown format 'tflite'"),
        (["--exporter", "tf"], "unknown exporter 'tf'"),
        (["--workspace-mb", "-5"], "--workspace-mb is -5, expected at least 1"),
        (["--compute-capability", "999"], "--compute-capability '999'"),
        (["--builder", "tensorrt-rtx", "--hardware-compatibility", "ampere_plus"], "TensorRT-RTX has none"),
    ],
)
def test_wrong_options_are_told_before_torch_is_loaded(option: list[str], words: str, tmp_path: Path) -> None:
    done = export_without("torch", str(tmp_path), *option)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_its_line_of_help_names_all_four_formats() -> None:
    assert all(word in COMMANDS["export"] for word in ("TorchScript", "ONNX", "OpenVINO", "TensorRT"))


def result(folder: str, targets: Sequence[str], *, passed: bool | None = True, size: int = 999_990_000) -> Any:
    """An export's result, as far as its table needs it."""
    entries = []
    for target in targets:
        file = ArtifactFile(name=f"model.{target}.engine", sha256="0" * 64, size_bytes=size)
        verdict = ParityVerdict(
            artifact_sha256="0" * 64, reference="r", backend="b", tolerance_atol=0.0, tolerance_rtol=0.0, cases=(),
            invariances=(), needed_atol=1.234e-5, passed=bool(passed),
        )  # fmt: skip
        artifact = Artifact(
            format="trt", precision="fp16", target=target, files=(file,), sha256="0" * 64, built_from_sha256="1" * 64,
            size_bytes=size, inputs=(), outputs=(), built_with={"build_s": 12345.6},
        )  # fmt: skip
        entries.append(
            ManifestEntry(
                artifact=artifact,
                parity=None if passed is None else verdict,
                not_run_because="needs an RTX GPU" if passed is None else "",
            )
        )
    failed = SimpleNamespace(format="trt", precision="int8", input_kind="float32", reason="no")
    return SimpleNamespace(
        model_id="a-model-of-a-rather-long-name", manifest_path=Path(folder) / "manifest.json", entries=tuple(entries),
        failed=(failed,), not_run=tuple(e for e in entries if e.not_run_because),
    )  # fmt: skip


@pytest.mark.parametrize("passed", [True, False, None])
def test_the_table_fits_into_100_columns(passed: bool | None) -> None:
    targets = ["rtx.sm86-sm89", "rtx.sm75-sm80-sm86-sm89-sm120-sm121"]
    table = console.table(rows(result("m", targets, passed=passed)), HEADERS)
    assert max(map(len, table.splitlines())) <= 100
    assert all(part in table for part in ("trt-fp16 rtx.sm86-sm89", "sm120", "sm121", "trt-int8", "not made"))


@pytest.mark.parametrize(
    ("folder", "word"),
    [
        ("trained_models/student", "student"),
        ("elsewhere/student", "elsewhere/student"),
        ("/abs/student", "/abs/student"),
        ("else where/student", "'else where/student'"),
    ],
)
def test_the_next_command_names_the_model_so_that_it_is_found(folder: str, word: str) -> None:
    assert (
        next_command([result(folder, ["t"], passed=None)])
        == f"python -m slrbench pack {word}    (verify it on the target)"
    )
    assert next_command([result(folder, ["t"])]) == f"python -m slrbench bench {word}"
    assert next_command([result(folder, ["t"], passed=False)]) is None
