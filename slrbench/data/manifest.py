"""Anybody's corpus: a table of ``path, glosses, split, signer``, one line for each clip.

``path`` is a video file or a folder of frames, relative to the table. The table is CSV (separated by commas,
semicolons, tabs or pipes: the header tells) or JSONL, one object a line. Glosses are separated by spaces; in JSONL they
may be a list, and may then contain spaces. ``signer`` may be left out, and so may splits that are not needed.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slrbench.data.annotations import SPLITS, CorpusIndex, frames_in, read_text
from slrbench.data.sources import ClipSource, VideoFile
from slrbench.errors import BadInputError

OPTIONS: Mapping[str, str] = {}
EXPECTED = "a .csv or .jsonl file with path, glosses, split and, where known, signer"

_COLUMNS = ("path", "glosses", "split")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def index(path: Path, options: Mapping[str, str]) -> CorpusIndex:
    """Read the table and look for every clip.

    Raises:
        BadInputError: the file is missing or no such table, or a line of it is not as expected.
    """
    if path.is_dir():
        raise BadInputError(f"{path} is a folder", hint=f"expected {EXPECTED}")
    if not path.is_file():
        raise BadInputError(f"there is no file {path}", hint=f"expected {EXPECTED}")
    text = read_text(path, what="a manifest")
    read = _json_rows if path.suffix.lower() in _JSON_SUFFIXES else _csv_rows
    found = CorpusIndex(scoring="plain")
    split_of: dict[str, set[str]] = {}
    for number, row in read(path, text):
        split = str(row["split"]).strip()
        written = str(row["path"]).strip()
        if not split or not written:
            raise BadInputError(f"line {number} of {path} has no {'split' if written else 'path'}", hint="name it")
        place = path.parent / written
        split_of.setdefault(written, set()).add(split)
        found.add(
            split,
            written,
            source=_source(place),
            looked_in=str(place),
            glosses=_glosses(row["glosses"]),
            signer=str(row.get("signer") or ""),
        )
    if not split_of:
        raise BadInputError(f"{path} names no clip", hint=f"expected {EXPECTED}")
    twice = sorted(written for written, splits in split_of.items() if len(splits) > 1)
    if twice:
        found.notes.append(f"{len(twice)} clips are in more than one split, the first of them {twice[0]}")
    for name in SPLITS:
        found.splits.setdefault(name, [])
    return found


def _source(place: Path) -> ClipSource | None:
    if place.is_file():
        return VideoFile(place)
    return frames_in(place)


def _glosses(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(gloss) for gloss in value)
    return tuple(str(value or "").split())


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInputError(f"line {number} of {path} is not JSON: {error}", hint="one object a line") from error
        missing = [name for name in _COLUMNS if not isinstance(row, dict) or name not in row]
        if missing:
            raise BadInputError(f"line {number} of {path} has no {', '.join(missing)}", hint=f"expected {EXPECTED}")
        yield number, row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    header, *lines = text.split("\n")
    for delimiter in ",;\t|":
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        if set(_COLUMNS) <= set(names):
            break
    else:
        raise BadInputError(
            f"{path} is no manifest: its first line is {header[:100]!r}",
            hint=f"expected a first line such as {','.join((*_COLUMNS, 'signer'))}",
        )
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for fields in _fields(reader, path):
        if not any(map(str.strip, fields)):
            continue
        number = reader.line_num + 1
        if len(fields) != len(names):
            raise BadInputError(
                f"line {number} of {path} has {len(fields)} fields, its header {len(names)}",
                hint=f"fields are separated by {delimiter!r}; put one that contains it into double quotes",
            )
        yield number, dict(zip(names, fields, strict=True))


def _fields(reader: Any, path: Path) -> Iterator[list[str]]:
    """The reader's rows; a quote that is never closed would take the rest of the file for one field."""
    try:
        yield from reader
    except csv.Error as error:
        raise BadInputError(
            f"{path} cannot be read as CSV up to line {reader.line_num + 1}: {error}",
            hint='a field that begins with " must end with one; inside of it a " is written twice',
        ) from error
