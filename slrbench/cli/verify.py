"""``slrbench verify``: does a checkpoint or an artifact give log-probabilities, line by line."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.workflows.verify import FileVerdict

MODELS_FOLDER = Path("trained_models")
ALL_PASSED = "✓✓✓ ALL CHECKS PASSED ✓✓✓"


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="A checkpoint's folder or file, the id of a model in trained_models, or a .torchscript, .onnx or .xml "
            "file; an artifact that comes from elsewhere needs no manifest.",
        ),
    ],
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="PIXELS", min=1, help="Frame size of an artifact without a card (64)."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", metavar="T", min=1, help="Frames of a clip for an artifact without a card (32)."),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option("--input", metavar="KIND", help="float32 or uint8, for an artifact that is in no manifest."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> None:
    """Check that a checkpoint or an artifact gives log-probabilities.

    Each check is a line with its figure. Exit code 1 where one fails: the line below it says what to do. Raw logits
    (a missing log_softmax) and probabilities are named as what they are.
    """
    from slrbench.errors import NegativeVerdictError
    from slrbench.workflows.verify import kind_of, verify_path

    found = [find_model(path) for path in paths]
    for path in found:
        kind_of(path)  # a missing file is said before the others are worked on
    verdicts: list[FileVerdict] = []
    try:
        with console.Progress() as progress:
            for path in found:
                verdicts.append(verify_path(path, size=size, frames=frames, input_kind=input, progress=progress))
    finally:  # what was found stays said where a later file is damaged
        if not json:
            for verdict in verdicts:
                console.result("\n".join(lines_of(verdict, with_path=len(found) > 1)))
    if json:
        console.print_json({"passed": all(verdict.passed for verdict in verdicts), "files": verdicts})
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        raise NegativeVerdictError(_summary(failed), hint=_hints(failed))
    if not json:
        console.wrote([], next_command=_next_command(verdicts))


def find_model(path: Path) -> Path:
    """The path itself where it exists, or the model of that id in ``trained_models``."""
    by_id = MODELS_FOLDER / path
    return by_id if not path.exists() and by_id.exists() else path


def lines_of(verdict: "FileVerdict", *, with_path: bool = False) -> list[str]:
    """What the command prints for one file."""
    lines = [f"{verdict.path} ({verdict.kind})"] if with_path else []
    width = max(len(check.name) for check in verdict.checks)
    for check in verdict.checks:
        mark = "✓ PASS" if check.passed else "✗ FAIL"
        lines.append(f"{mark} - {check.name:<{width}}   {check.figure}")
        if check.hint is not None:
            lines.append(f"         {check.hint}")
    count = sum(not check.passed for check in verdict.checks)
    lines.append(ALL_PASSED if count == 0 else f"✗✗✗ {count} OF {len(verdict.checks)} CHECKS FAILED ✗✗✗")
    return lines


def _summary(failed: list["FileVerdict"]) -> str:
    parts = [f"{v.path}: {', '.join(check.name for check in v.checks if not check.passed)}" for v in failed]
    return f"not verified: {'; '.join(parts)}"


def _hints(failed: list["FileVerdict"]) -> str:
    hints = [check.hint for verdict in failed for check in verdict.checks if check.hint]
    return "\n".join(dict.fromkeys(hints))


def _next_command(verdicts: list["FileVerdict"]) -> str:
    from slrbench.training.card import CARD_NAME

    checkpoints = [verdict.path for verdict in verdicts if verdict.kind == "checkpoint"]
    if checkpoints:
        return f"python -m slrbench export {shlex.join(checkpoints)}"
    path = Path(verdicts[0].path)
    if not (path.parent / CARD_NAME).exists():
        return f"python -m slrbench evaluate {shlex.quote(str(path))} --data SPEC"
    return f"python -m slrbench evaluate {shlex.quote(str(path))}"
