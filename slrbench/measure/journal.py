"""The journal of a run: what was measured, line by line as it ends, so that an interruption loses nothing.

The first line says under which settings, versions, files and on which machine the run began (its session). Every
further line holds one result under the hash of the session and of what the result is of. A line is written at once and
brought to the disk before anything else is done; one that was torn by a crash is the last, and is cut off.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from slrbench.errors import BadInputError

JOURNAL_NAME = "journal.jsonl"
FORMAT = 1

_COMPARED = "compared"


def content_hash(value: Any) -> str:
    """SHA-256 of a JSON document, whatever the order of its keys.

    Raises:
        ValueError: it holds NaN or infinity, which JSON cannot say.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """Results by what they are of. Without a file it only remembers, so that a run need not care."""

    def __init__(self) -> None:
        """A journal in memory."""
        self._session_hash = ""
        self._known: dict[str, Any] = {}
        self._file: int | None = None
        self._path: Path | None = None

    @classmethod
    def begin(cls, path: Path, session: dict[str, Any], *, beside: dict[str, Any] | None = None) -> Self:
        """Start a journal in a new file.

        Args:
            path: the file; its folder is made where there is none.
            session: what must be the same for a run to go on: a JSON document.
            beside: what a later run wants to read and need not be the same.

        Raises:
            BadInputError: there is a journal, of a run that was interrupted.
            OSError: the file cannot be written.
        """
        refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = cls()
        journal._take(path, os.O_CREAT | os.O_EXCL)
        journal._session_hash = content_hash(session)
        journal._append({"journal": FORMAT, _COMPARED: session, "beside": beside or {}})
        _sync_folder(path.parent)
        return journal

    @classmethod
    def resume(cls, path: Path, session: dict[str, Any]) -> Self:
        """Go on with the journal of a run that was interrupted.

        Raises:
            BadInputError: there is none, it is damaged, another process writes to it, or it is of another session.
            OSError: the file cannot be read or written.
        """
        began = read_session(path)[_COMPARED]
        if different := differences(began, json.loads(json.dumps(session))):
            rest = f" (and {len(different) - 3} more)" if len(different) > 3 else ""
            raise BadInputError(
                f"{path} was begun under other conditions: {'; '.join(different[:3])}{rest}",
                hint="what was measured under unlike conditions is not joined: resume as it was begun, or measure anew "
                "into another folder",
            )
        journal = cls()
        journal._take(path, 0)
        journal._session_hash = content_hash(session)
        whole = 0
        for number, line, end in _lines(path):
            if number > 1:
                journal._known[line["key"]] = line["value"]
            whole = end
        assert journal._file is not None
        os.ftruncate(journal._file, whole)
        return journal

    def _take(self, path: Path, flags: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | flags, 0o666)
        self._path = path
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise BadInputError(
                f"{path} is being written by another process", hint="wait until that benchmark has ended"
            ) from None

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays."""
        self.close()

    def __len__(self) -> int:
        """Number of results."""
        return len(self._known)

    def get(self, *of: Any) -> Any | None:
        """The result of what ``of`` (JSON) names; None where there is none yet."""
        return self._known.get(self._key(of))

    def put(self, value: Any, *of: Any) -> None:
        """Keep a result (JSON) of what ``of`` names; it is on the disk when this returns.

        Raises:
            ValueError: there is one already, or a figure is NaN or infinite.
            OSError: the disk is full.
        """
        key = self._key(of)
        if key in self._known:
            raise ValueError(f"{of} was measured already")
        self._append({"key": key, "of": of, "value": value})
        self._known[key] = value

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """The run is complete, and everything stands in its report: the file goes."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _key(self, of: tuple[Any, ...]) -> str:
        return content_hash([self._session_hash, *of])

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        data = json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        while data:  # one write as a rule; a signal or a full disk may cut it
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)


def refuse_existing(path: Path) -> None:
    """Return where there is no journal that a new run would overwrite.

    Raises:
        BadInputError: there is one.
    """
    if path.exists():
        raise BadInputError(
            f"{path.parent} holds a benchmark that was interrupted",
            hint=f"python -m slrbench bench --resume {path.parent} goes on with it; delete {path.name} to start anew",
        )


def read_session(path: Path) -> dict[str, Any]:
    """What the first line says: ``compared`` and ``beside``, as given to :meth:`Journal.begin`.

    Raises:
        BadInputError: there is no journal, or it is damaged.
    """
    if not path.is_file():
        done = (path.parent / "report.json").is_file()
        why = "its benchmark is complete, or was made without one" if done else "nothing was measured there"
        raise BadInputError(
            f"there is no {path.name} in {path.parent}: {why}",
            hint="name the folder of a benchmark that was interrupted",
        )
    first = next(_lines(path), None)
    if first is None or first[1].get("journal") != FORMAT:
        raise BadInputError(
            f"{path} does not begin like a journal of this version of slrbench",
            hint="delete it, and measure anew",
        )
    return {name: first[1][name] for name in (_COMPARED, "beside")}


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Number (from 1), content and end (bytes) of each whole line; a torn last one is left out."""
    end = 0
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            if not data.endswith(b"\n"):
                return
            try:
                line = json.loads(data)
                if not isinstance(line, dict) or not (number == 1 or {"key", "value"} <= line.keys()):
                    raise ValueError("it is no entry")
            except ValueError as error:
                if not file.read(1):  # blocks of a last line that never reached the disk are zeros
                    return
                raise BadInputError(
                    f"{path} is damaged in line {number}: {error}", hint="delete it, and measure anew"
                ) from error
            end += len(data)
            yield number, line, end


def differences(began: Any, now: Any, where: str = "") -> list[str]:
    """In words, every place where two JSON documents are unlike; the journal's is the first."""
    if isinstance(began, dict) and isinstance(now, dict):
        names = [*began, *(name for name in now if name not in began)]
        return [
            words
            for name in names
            for words in differences(began.get(name), now.get(name), f"{where}.{name}" if where else str(name))
        ]
    if isinstance(began, list) and isinstance(now, list) and len(began) == len(now):
        return [
            words
            for index, (one, other) in enumerate(zip(began, now, strict=True))
            for words in differences(one, other, f"{where}[{index}]")
        ]
    return [] if began == now else [f"{where} is {_shown(now)}, in the journal {_shown(began)}"]


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sync_folder(folder: Path) -> None:
    """Bring a new file's name to the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
