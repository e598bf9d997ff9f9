"""Everything that needs an NVIDIA GPU, in one command: ``python tests/gpu/run.py``.

The tests, then exports and the benchmark that README's table is made of, all into ``reports/<date>-gpu``. A step that
fails does not stop the others. Exit codes: 0 everything passed, 1 a step failed, 3 no GPU is visible.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from exporters.tensorrt_library import gpu_is_visible  # noqa: E402 - a script, run from any folder
from slrbench.workflows.bench import report_folder  # noqa: E402

MODELS = ("teacher-full", "student-full")
SIZES = (112, 224)
FRAMES = 64
BATCHES = (1, 8)
PRECISIONS = "fp32,tf32,fp16"
NO_GPU = "no CUDA device is visible: nothing was run; it needs an NVIDIA GPU and pip install -e '.[gpu]'"


def commands(folder: Path, *, quick: bool = False, tensorrt: bool = True) -> list[list[str]]:
    """The tests, the exports and the benchmark, to be run from the root, with ``folder`` for what they write."""
    slrbench = [sys.executable, "-m", "slrbench"]
    networks = [f"{architecture}:size={size}" for size in SIZES for architecture in ("teacher", "student")]
    engines = "trt," if tensorrt else ""
    return [
        [
            sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu" if tensorrt else "gpu and not tensorrt", "-q",
            "--no-header", "--tb=short", "--disable-warnings",
        ],
        [
            *slrbench, "export", *MODELS, "--formats", f"{engines}onnx", "--precision", PRECISIONS,
            "--batch", f"1:1:{max(BATCHES)}", "--frames", f"1:{FRAMES}:256",
        ],
        [
            *slrbench, "bench", *MODELS, *(word for network in networks for word in ("--untrained", network)),
            "--backend", f"{engines}onnx,torch", "--device", "cuda", "--provider", "cuda", "--precision", PRECISIONS,
            "--batch", ",".join(map(str, BATCHES)), "--frames", str(FRAMES), *(["--quick"] if quick else []),
            "--output", str(folder),
        ],
    ]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run every step, or print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="print the commands instead of running them")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds of the benchmark")
    parser.add_argument("--without-tensorrt", action="store_true", help="leave out what needs TensorRT")
    chosen = parser.parse_args(arguments)
    folder = report_folder(ROOT / "reports", "gpu").relative_to(ROOT)
    steps = commands(folder, quick=chosen.quick, tensorrt=not chosen.without_tensorrt)
    if chosen.dry_run:
        for step in steps:
            _say(shlex.join(step))
        return 0
    if not gpu_is_visible():
        _say(NO_GPU)
        return 3
    (ROOT / folder).mkdir(parents=True)
    failed = []
    for step, log in zip(steps, ("tests.txt", "export.txt", "bench.txt"), strict=True):
        if _run(step, ROOT / folder / log) != 0:
            failed.append(log)
    for log in failed:
        _say(f"failed: {folder / log} says why")
    _say("look at it, then:")
    _say(f"  git add {folder} && git commit -m 'Measured on a GPU: {folder.name}'")
    return 1 if failed else 0


def _run(command: list[str], log: Path) -> int:
    """Run a command, show what it prints, and keep it without the paths of this machine."""
    shown = shlex.join(["python", *command[1:]])
    _say(f"$ {shown}")
    lines = [f"$ {shown}\n"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(_without_paths(line))
    lines.append(f"exit code {process.returncode}\n")
    log.write_text("".join(lines), encoding="utf-8")
    return process.returncode


def _without_paths(line: str) -> str:
    """Reports are published: where things lie on this machine is nobody's business."""
    for path, word in ((Path(sys.prefix), "ENVIRONMENT"), (ROOT, "."), (Path.home(), "~")):
        if path != Path(path.anchor):
            line = line.replace(str(path), word)
    return line


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
