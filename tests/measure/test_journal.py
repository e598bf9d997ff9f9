"""The journal alone: lines that are on the disk at once, torn ends, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slrbench.errors import BadInputError
from slrbench.measure.journal import Journal

SESSION = {"settings": {"rounds": 10, "seed": 0}, "files": {"a": "11", "b": "22"}}


def begun(path: Path) -> Path:
    with Journal.begin(path, SESSION) as journal:
        journal.put({"x": [1.5]}, "visit", "a", 0)
        journal.put(None, "visit", "a", 1)
    return path


def test_what_was_put_is_there_after_the_file_is_opened_again(tmp_path: Path) -> None:
    path = begun(tmp_path / "deep" / "journal.jsonl")
    with Journal.resume(path, SESSION) as journal:
        assert len(journal) == 2
        assert journal.get("visit", "a", 0) == {"x": [1.5]}
        assert journal.get("visit", "b", 0) is None
        journal.put(3, "visit", "b", 0)
    with Journal.resume(path, dict(reversed(SESSION.items()))) as journal:
        assert journal.get("visit", "b", 0) == 3


def test_a_line_is_in_the_file_as_soon_as_it_was_put(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal.begin(path, SESSION) as journal:
        journal.put(1, "one")
        first, second = path.read_text().splitlines()
        assert json.loads(first)["compared"] == SESSION
        assert json.loads(second)["value"] == 1


def test_nothing_is_kept_twice(tmp_path: Path) -> None:
    with Journal.resume(begun(tmp_path / "j"), SESSION) as journal, pytest.raises(ValueError, match="measured already"):
        journal.put({}, "visit", "a", 0)


@pytest.mark.parametrize("torn", [b'{"key": "ab', b"\x00" * 700, b'{"key": "ab"\n', b'{"key":"ab","value":1}'])
def test_a_torn_last_line_is_cut_off_and_the_rest_is_kept(tmp_path: Path, torn: bytes) -> None:
    path = begun(tmp_path / "j")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with Journal.resume(path, SESSION) as journal:
        assert len(journal) == 2
        assert path.read_bytes() == whole
        journal.put(4, "next")
    with Journal.resume(path, SESSION) as journal:
        assert (len(journal), journal.get("next")) == (3, 4)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: [lines[0], b"{]\n", lines[2]], "damaged in line 2"),
        (lambda lines: [lines[0], b"[1]\n", lines[2]], "damaged in line 2: it is no entry"),
        (lambda lines: [b'{"journal":99}\n', *lines[1:]], "does not begin like a journal of this version"),
        (lambda lines: [], "does not begin like a journal"),
    ],
)
def test_damage_in_the_middle_is_refused(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    path = begun(tmp_path / "j")
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(BadInputError, match=words):
        Journal.resume(path, SESSION)


def test_other_conditions_are_refused_in_words(tmp_path: Path) -> None:
    path = begun(tmp_path / "j")
    other = {"settings": {"rounds": 12, "seed": 0}, "files": {"a": "11", "c": "22"}}
    with pytest.raises(BadInputError) as caught:
        Journal.resume(path, other)
    assert "settings.rounds is 12, in the journal 10" in caught.value.message
    assert 'files.b is null, in the journal "22"' in caught.value.message
    assert 'files.c is "22", in the journal null' in caught.value.message
    many = {"settings": {"rounds": 1, "seed": 1}, "files": {}}
    with pytest.raises(BadInputError, match=r"\(and 1 more\)$"):
        Journal.resume(path, many)


def test_an_interrupted_journal_is_not_overwritten(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.jsonl")
    with pytest.raises(BadInputError, match="holds a benchmark that was interrupted") as caught:
        Journal.begin(path, SESSION)
    assert f"--resume {tmp_path}" in (caught.value.hint or "")
    with Journal.resume(path, SESSION) as journal:
        assert len(journal) == 2


def test_two_processes_do_not_write_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal.begin(path, SESSION), pytest.raises(BadInputError, match="written by another process"):
        Journal.resume(path, SESSION)
    Journal.resume(path, SESSION).close()


def test_where_there_is_none_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing was measured there"):
        Journal.resume(tmp_path / "journal.jsonl", SESSION)
    (tmp_path / "report.json").touch()
    with pytest.raises(BadInputError, match="its benchmark is complete"):
        Journal.resume(tmp_path / "journal.jsonl", SESSION)


def test_a_journal_without_a_file_only_remembers() -> None:
    journal = Journal()
    journal.put(1, "a")
    assert journal.get("a") == 1
    journal.remove()


def test_a_complete_run_removes_its_journal(tmp_path: Path) -> None:
    path = begun(tmp_path / "j")
    with Journal.resume(path, SESSION) as journal:
        journal.remove()
    assert os.listdir(tmp_path) == []  # noqa: PTH208
