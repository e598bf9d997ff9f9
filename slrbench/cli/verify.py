"""``slrbench verify``: checkpoints and artifacts line by line, the artifacts of an archive in a table."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.errors import SlrbenchError
    from slrbench.workflows.verify import FileVerdict
    from slrbench.workflows.verify_pack import PackVerdict

MODELS_FOLDER = Path("trained_models")
ALL_PASSED = "✓✓✓ ALL CHECKS PASSED ✓✓✓"


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="A checkpoint's folder or file, the id of a model in trained_models, a .torchscript, .onnx, .xml or "
            ".engine file, or an archive that pack wrote; an artifact that comes from elsewhere needs no manifest.",
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
    again: Annotated[
        bool, typer.Option("--again", help="Judge an artifact by the stored parity cases though it has a verdict.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", help="Where an archive is unpacked; beside it by default."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> None:
    """Check that a checkpoint or an artifact gives log-probabilities, or judge the artifacts of an archive.

    Each check is a line with its figure. Exit code 1 where one fails: the line below it says what to do. Raw logits
    (a missing log_softmax) and probabilities are named as what they are.

    Of an archive every hash is checked, it is unpacked, and each artifact whose runtime is here is run on the stored
    parity cases and test clips; the verdicts go into the unpacked manifest. Exit code 3 where none can run here.
    """
    from slrbench.cli.pack_table import document_of
    from slrbench.workflows.archive import is_pack
    from slrbench.workflows.verify import kind_of, verify_path
    from slrbench.workflows.verify_pack import PackVerdict, verify_pack

    found = [find_model(path) for path in paths]
    _check_into(found, into)
    for path in found:
        if not is_pack(path):
            kind_of(path)  # a missing file is said before the others are worked on
    verdicts: list[FileVerdict | PackVerdict] = []
    try:
        with console.Progress() as progress:
            for path in found:
                verdicts.append(
                    verify_pack(path, into=into, progress=progress)
                    if is_pack(path)
                    else verify_path(path, size=size, frames=frames, input_kind=input, again=again, progress=progress)
                )
    finally:  # what was found stays said where a later file is damaged
        if not json:
            for verdict in verdicts:
                console.result(_shown(verdict, with_path=len(found) > 1))
    packs = [verdict for verdict in verdicts if isinstance(verdict, PackVerdict)]
    files = [verdict for verdict in verdicts if not isinstance(verdict, PackVerdict)]
    if json:
        document = {"passed": all(verdict.passed for verdict in verdicts), "files": files}
        console.print_json(document | ({"packs": [document_of(pack) for pack in packs]} if packs else {}))
    for pack in packs:
        console.info(f"{'used' if pack.reused else 'unpacked into'} {pack.folder}")
    _raise_worst([*_errors_of(files), *(pack.error for pack in packs if pack.error is not None)])
    if not json:
        console.wrote([], next_command=_next_command(files) if files else _next_of_pack(packs[0]))


def _shown(verdict: "FileVerdict | PackVerdict", *, with_path: bool) -> str:
    from slrbench.cli.pack_table import table_of
    from slrbench.workflows.verify_pack import PackVerdict

    return table_of(verdict) if isinstance(verdict, PackVerdict) else "\n".join(lines_of(verdict, with_path=with_path))


def _check_into(paths: list[Path], into: Path | None) -> None:
    from slrbench.errors import BadInputError
    from slrbench.workflows.archive import is_archive

    if into is not None and (len(paths) != 1 or not is_archive(paths[0])):
        raise BadInputError("--into goes with one archive", hint="python -m slrbench verify ARCHIVE --into FOLDER")


def _errors_of(files: list["FileVerdict"]) -> list["SlrbenchError"]:
    from slrbench.errors import NegativeVerdictError

    failed = [verdict for verdict in files if not verdict.passed]
    return [NegativeVerdictError(_summary(failed), hint=_hints(failed))] if failed else []


def _raise_worst(errors: list["SlrbenchError"]) -> None:
    """A failed verdict before everything that could not be judged; the others are told."""
    worst = min(errors, key=lambda error: error.exit_code, default=None)
    for error in errors:
        if error is not worst:
            console.error(error.message, error.hint)
    if worst is not None:
        raise worst


def _next_of_pack(pack: "PackVerdict") -> str:
    formats = dict.fromkeys(judged.entry.artifact.format for judged in pack.artifacts if judged.word == "passed")
    return f"python -m slrbench bench {shlex.quote(str(pack.folder))} --backend {','.join(formats)}"


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
