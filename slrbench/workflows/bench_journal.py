"""A benchmark's journal: under which conditions it was begun, and what was judged and evaluated by now."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporters.artifact import sha256_file
from slrbench.errors import BadInputError
from slrbench.measure.journal import JOURNAL_NAME, Journal, read_session
from slrbench.records import Accuracy, Candidate, Environment
from slrbench.workflows.bench_candidates import Plan
from slrbench.workflows.bench_draft import Draft, candidate_name
from slrbench.workflows.bench_options import BenchOptions
from slrbench.workflows.bench_parity import way_key


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A benchmark that was begun and not ended."""

    options: BenchOptions
    title: str
    command: str
    environment: Environment


def begun_in(folder: Path) -> Begun:
    """What the journal in a report's folder says of its benchmark.

    Raises:
        BadInputError: there is none, or it cannot be read.
    """
    session = read_session(folder / JOURNAL_NAME)
    options = {name: value for name, value in session["compared"].items() if name not in _CONDITIONS}
    beside = session["beside"]
    try:
        environment = Environment.model_validate(beside["environment"])
    except (KeyError, ValidationError) as error:
        raise BadInputError(
            f"{folder / JOURNAL_NAME} was written by another version of slrbench",
            hint="resume with the version that began it, or measure anew",
        ) from error
    cache = beside.get("cache")
    return Begun(
        options=replace(BenchOptions.from_document(options), cache=None if cache is None else Path(cache)),
        title=beside["title"],
        command=beside["command"],
        environment=environment,
    )


_CONDITIONS = ("files", "compared_with", "machine", "versions")


def conditions(options: BenchOptions, plan: Plan, baseline: int, now: Environment) -> dict[str, Any]:
    """What must be the same for a benchmark to go on: options, files, machine and versions.

    Args:
        options: what was asked for.
        plan: what it came to.
        baseline: index of the candidate that is measured twice.
        now: this machine, now.
    """
    names = [candidate_name(candidate) for candidate in plan.candidates]
    machine = now.model_dump(
        mode="json", include={"platform", "python", "cpu", "cpu_logical_cores", "cpu_physical_cores", "gpus"}
    )
    return {
        **options.document(),
        **({"video_sha256": sha256_file(Path(options.video))} if options.video else {}),
        "files": {name: c.artifact_sha256 for name, c in zip(names, plan.candidates, strict=True)},
        "compared_with": names[baseline],
        "machine": machine,
        "versions": dict(now.versions),
    }


def open_journal(
    folder: Path | None, session: dict[str, Any], draft: Draft, *, resume: bool, cache: Path | None = None
) -> Journal:
    """The journal in a report's folder, new or taken up; without a folder one in memory.

    Raises:
        BadInputError: it is of other conditions, or there is one already, or none to resume.
        OSError: it cannot be written.
    """
    if folder is None:
        return Journal()
    if resume:
        return Journal.resume(folder / JOURNAL_NAME, session)
    beside = {
        "title": draft.title,
        "command": draft.command,
        "environment": draft.environment.model_dump(mode="json"),
        "cache": None if cache is None else str(cache.resolve()),
    }
    return Journal.begin(folder / JOURNAL_NAME, session, beside=beside)


def once(journal: Journal, draft: Draft, what: str, candidate: Candidate, action: Callable[[], None]) -> None:
    """Let ``action`` add to the draft, and keep what it added; or add what the journal holds of it.

    Args:
        journal: where it is kept.
        draft: what ``action`` adds accuracies, verdicts and notes to.
        what: a word for what ``action`` does.
        candidate: of which.
        action: judges or evaluates.
    """
    of = (what, *way_key(candidate), candidate.height, candidate.width)
    known = journal.get(*of)
    if known is not None:
        fresh = [Accuracy.model_validate(each) for each in known["accuracies"]]
        draft.accuracies += [each for each in fresh if each not in draft.accuracies]
        draft.verdicts.update({tuple(key): verdict for key, verdict in known["verdicts"]})
        draft.notes += [note for note in known["notes"] if note not in draft.notes]
        return
    accuracies, verdicts, notes = len(draft.accuracies), set(draft.verdicts), len(draft.notes)
    action()
    added = {
        "accuracies": [each.model_dump(mode="json") for each in draft.accuracies[accuracies:]],
        "verdicts": [[list(key), draft.verdicts[key]] for key in draft.verdicts if key not in verdicts],
        "notes": draft.notes[notes:],
    }
    journal.put(added, *of)
