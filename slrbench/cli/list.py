"""``slrbench list``: which models, backends and presets there are."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.training.card import CheckpointCard


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    BACKENDS = "backends"
    PRESETS = "presets"


def command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the models are: a folder with one folder per model.")
    ] = Path("trained_models"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """List models, backends or presets.

    Models are the folders with a checkpoint.json; a backend is what runs an artifact; a preset is a set of training
    options that train and train-and-export take by name.
    """
    if kind is Kind.MODELS:
        found, headers, rows, advice = _models(folder)
    elif kind is Kind.BACKENDS:
        found, headers, rows, advice = _backends()
    else:
        found, headers, rows, advice = _presets()
    if json:
        console.print_json(found)
        return
    if rows:
        console.result(console.table(rows, headers))
    console.info(advice)


_Listing = tuple[list[Any], list[str], list[list[Any]], str]  # for programs, headers, rows for people, what to do next


def _models(folder: Path) -> _Listing:
    from slrbench.errors import BadInputError, SlrbenchError
    from slrbench.reporting.display import number
    from slrbench.training.card import CARD_NAME, read_card

    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{str(folder)!r} is a file, expected a folder with one folder per model")
    found, rows = [], []
    for path in sorted(folder.glob(f"*/{CARD_NAME}")):
        try:
            card = read_card(path)
            artifacts = _artifacts(path.parent)
        except SlrbenchError as error:
            console.warning(f"{path.parent}: {error.message}")
            continue
        wer = {split: counts.wer for split, counts in card.wer.items()}
        found.append(
            {
                "model": card.model_id,
                "path": path.parent,
                "role": card.spec.architecture,
                "parameters": card.parameters,
                "wer": wer,
                "checks_passed": card.checks_passed,
                "data": card.data,
                "artifacts": artifacts,
            }
        )
        counts = Counter(a["parity"] for a in artifacts)
        shown = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "not run") if counts[word])
        rows.append([card.model_id, card.role, number(card.parameters, 1e6), *_wer_and_checks(card), shown or None])
    headers = ["Model", "Role", "Param. (M)", "Dev WER (%)", "Test WER (%)", "Checks", "Parity of artifacts"]
    if not rows:
        return found, headers, rows, f"no models in {folder}; next: python -m slrbench train-and-export"
    return found, headers, rows, f"next: python -m slrbench verify {folder / rows[0][0]}"


def _wer_and_checks(card: "CheckpointCard") -> list[Any]:
    from slrbench.reporting.display import percent

    shares = [percent(card.wer[split].wer) if split in card.wer else None for split in ("dev", "test")]
    return [*shares, {True: "passed", False: "FAILED", None: "not run"}[card.checks_passed]]


def _artifacts(folder: Path) -> list[dict[str, Any]]:
    from exporters.artifact import ExporterError, read_manifest
    from slrbench.errors import BadInputError

    try:
        manifest = read_manifest(folder)
    except ExporterError as error:
        raise BadInputError(error.message, hint=error.hint) from error
    if manifest is None:
        return []
    return [
        {"name": e.artifact.label, "path": folder / e.artifact.path, "parity": e.parity_word} for e in manifest.entries
    ]


def _backends() -> _Listing:
    from dataclasses import asdict

    from slrbench.runners.availability import BACKENDS, availability, describe

    states = [availability(backend) for backend in BACKENDS]
    rows = [
        [s.backend, describe(s.backend), "yes" if s.available else "no", s.version, None if s.available else s.why_not]
        for s in states
    ]
    headers = ["Backend", "What", "Available", "Version", "Why not"]
    found = [{**asdict(state), "what": describe(state.backend)} for state in states]
    return found, headers, rows, "next: python -m slrbench doctor tries each one and says how to get what is missing"


def _presets() -> _Listing:
    from slrbench.training.config import load_preset, preset_names

    presets = {name: load_preset(name).model_dump(mode="json") for name in preset_names()}
    fields = {name: _flat(document) for name, document in presets.items()}
    names = dict.fromkeys(field for of_preset in fields.values() for field in of_preset if field != "preset")
    rows = [[field, *(of_preset.get(field) for of_preset in fields.values())] for field in names]
    advice = "next: python -m slrbench train-and-export (with --preset NAME for another than demo)"
    return list(presets.values()), ["Field", *presets], rows, advice


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
