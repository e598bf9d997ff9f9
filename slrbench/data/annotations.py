"""What the readers of annotation files share: rows, folders of frames, and what is wrong with either.

A clip that is annotated and cannot be found is noted and left out. A file or folder that is not what it should be is an
error: then the path or the kind is wrong, and everything else would be, too.
"""

import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slrbench.data.sources import ClipSource, FrameFiles
from slrbench.errors import BadInputError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Suffixes of frames."""

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class IndexedClip:
    """One annotated clip, and the files that its frames are read from."""

    clip_id: str
    source: ClipSource
    glosses: tuple[str, ...]
    signer: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A clip that is annotated and not used, and why."""

    clip_id: str
    split: str
    reason: str


@dataclass(kw_only=True)
class CorpusIndex:
    """What the annotations of a corpus say, and which of its clips are there."""

    scoring: str
    """Convention by which its word errors are counted; see ``slrbench.scoring``."""
    frames_per_second: float = 25.0
    splits: dict[str, list[IndexedClip]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person must know of how the files were read."""
    rows_sha256: str = ""
    """Over all annotations, in order, whether their frames were found or not."""

    def add(
        self,
        split: str,
        clip_id: str,
        *,
        source: ClipSource | None,
        looked_in: str,
        glosses: Sequence[str],
        signer: str,
    ) -> None:
        """Take one annotation in; a clip without frames or without glosses is left out and noted."""
        row = repr((self.rows_sha256, split, clip_id, tuple(glosses), signer))
        self.rows_sha256 = hashlib.sha256(row.encode()).hexdigest()
        if source is None:
            self.leave_out(split, clip_id, f"no frames in {looked_in}")
        elif not glosses:
            self.leave_out(split, clip_id, "no glosses")
        else:
            clip = IndexedClip(clip_id=clip_id, source=source, glosses=tuple(glosses), signer=signer or "unknown")
            self.splits.setdefault(split, []).append(clip)

    def leave_out(self, split: str, clip_id: str, reason: str) -> None:
        """Note a clip that is not used."""
        self.left_out.append(LeftOut(clip_id=clip_id, split=split, reason=reason))


def read_rows(path: Path, delimiter: str, columns: Iterable[str], *, what: str) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with a header, quotes being plain characters; with the number of each line.

    Raises:
        BadInputError: the file is missing, not UTF-8, has no such columns, or a row has other than its columns.
    """
    lines = read_text(path, what=what).split("\n")  # not splitlines(): a text may hold Unicode's other line breaks
    names = [name.strip() for name in lines[0].split(delimiter)]
    missing = [column for column in columns if column not in names]
    if missing:
        found = lines[0][:100]
        raise BadInputError(
            f"{path} is not {what}: its first line has no column {', '.join(missing)}, but {found!r}",
            hint=f"expected {delimiter.join(columns)}",
        )
    rows = []
    for number, fields in enumerate(csv.reader(lines[1:], delimiter=delimiter, quoting=csv.QUOTE_NONE), start=2):
        if not any(map(str.strip, fields)):
            continue
        if len(fields) != len(names):
            raise BadInputError(
                f"line {number} of {path} has {len(fields)} fields, its header {len(names)}",
                hint=f"fields are separated by {delimiter!r}, which none may contain; a line may also be cut short",
            )
        rows.append((number, dict(zip(names, map(str.strip, fields), strict=True))))
    return rows


def read_text(path: Path, *, what: str) -> str:
    """The text of a file.

    Raises:
        BadInputError: it is missing, or not UTF-8.
    """
    if not path.is_file():
        raise BadInputError(f"there is no file {path}, which should be {what}", hint="is the corpus unpacked whole?")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is not UTF-8: {error}", hint=f"it should be {what}") from error


def by_number(name: str) -> tuple[str | int, ...]:
    """A key that sorts names by the numbers in them: ``fn2-0`` before ``fn10-0``, however many digits they have."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name)))


def frames_in(folder: Path) -> FrameFiles | None:
    """The pictures in a folder, sorted by their numbers; None where there is no such folder, or no picture in it."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return None
    pictures = sorted((name for name in names if Path(name).suffix.lower() in PICTURES), key=by_number)
    return FrameFiles(tuple(folder / name for name in pictures)) if pictures else None


def frames_of_pattern(bases: Iterable[Path], written: str) -> FrameFiles | None:
    """Frames of a clip whose annotation says ``<name>/1/*.png``: there, or without or with the ``1``, under any base.

    PHOENIX-2014 has the folder ``1``. PHOENIX-2014T's annotations have it, too, but not its release.
    """
    parts = [part for part in written.split("/") if part and "*" not in part]
    name, last = parts[:-1] if parts[-1:] == ["1"] else parts, "1"
    for base in bases:
        for inside in (base.joinpath(*parts), base.joinpath(*name), base.joinpath(*name, last)):
            if (found := frames_in(inside)) is not None:
                return found
    return None


def find_root(path: Path, holds: Callable[[Path], bool], inside: Sequence[str], *, expected: str) -> Path:
    """The folder that ``holds`` the corpus: ``path`` itself, or one of the folders that a release unpacks to.

    Raises:
        BadInputError: there is no such folder.
    """
    if not path.is_dir():
        raise BadInputError(f"there is no folder {path}", hint=f"expected {expected}")
    for candidate in (path, *(path / name for name in inside)):
        if holds(candidate):
            return candidate
    found = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    raise BadInputError(f"{path} is not this corpus: it holds {shown or 'nothing'}", hint=f"expected {expected}")


def one_of(options: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """The value of an option, the first of ``choices`` where it is not given.

    Raises:
        BadInputError: it is none of them.
    """
    value = options.get(name, choices[0]).lower()
    if value not in choices:
        raise BadInputError(f"{name}={options[name]} is unknown", hint=f"{name}={' or '.join(choices)}")
    return value
