"""Names of candidates in tables and sentences, for what stands with measurements and not with rows."""

from collections.abc import Iterable

from slrbench.records import Candidate
from slrbench.reporting.display import backend_on
from slrbench.reporting.naming import short_names


class Namer:
    """Cells that name candidates, with their threads where these differ."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        """Name these."""
        self._known = list(candidates)
        self._names = short_names(c.model for c in self._known)
        self._threads = len({c.threads for c in self._known}) > 1

    @property
    def headers(self) -> list[str]:
        """Of the cells."""
        return ["Model", "Backend", "B x T", *(["Threads"] if self._threads else [])]

    def cells(self, c: Candidate) -> tuple[str, ...]:
        """One cell per header."""
        return (self._names[c.model], backend_on(c), *self._setting(c))

    def reasons(self, why: Iterable[tuple[Candidate, str]]) -> list[str]:
        """A sentence per reason with those for which it holds: all, whole files, or files at some settings."""
        of_reason: dict[str, list[Candidate]] = {}
        for c, reason in why:
            of_reason.setdefault(reason.rstrip("."), []).append(c)
        return [f"{self._who(those)}: {reason}." for reason, those in of_reason.items()]

    def _who(self, those: list[Candidate]) -> str:
        if len(those) == len(self._known) > 1:
            return "All"
        by_file: dict[str, list[Candidate]] = {}
        for c in those:
            by_file.setdefault(self._file(c), []).append(c)
        whole = {file: sum(self._file(c) == file for c in self._known) for file in by_file}
        return ", ".join(
            file if len(of) == whole[file] else f"{file} ({'; '.join(', '.join(self._setting(c)) for c in of)})"
            for file, of in by_file.items()
        )

    def _file(self, c: Candidate) -> str:
        return f"{self._names[c.model]} on {backend_on(c)}"

    def _setting(self, c: Candidate) -> tuple[str, ...]:
        return (f"{c.batch} x {c.frames}", *([str(c.threads)] if self._threads else []))
