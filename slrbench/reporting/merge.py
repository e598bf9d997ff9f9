"""One report from several: rows with the machine they were measured on, and a decision for each machine.

Machines never compete: which machine to buy is no question that a file answers. Reports of one machine are put together
where they measured different things; what was measured twice is for ``slrbench compare``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slrbench.errors import BadInputError
from slrbench.records import Decision, Environment, Report, SummaryRow
from slrbench.reporting.decision import decide
from slrbench.reporting.evidence import gather
from slrbench.reporting.matching import key_of, machine_of, same_report, unlike_versions


@dataclass(frozen=True)
class Machine:
    """A machine with all that was measured on it."""

    name: str
    report: Report
    """Of this machine only: the one report, or several put together."""
    places: tuple[int, ...]
    """Index in the merged summary of each row of the report."""


def merge(reports: Sequence[Report]) -> Report:
    """One report by machine from two or more.

    What belongs to one session only (baseline, A/A control, noise floor) stands in the table of machines; comparisons
    keep their rows.

    Raises:
        BadInputError: see :func:`by_machine`.
    """
    machines = by_machine(reports)
    names = _names_of(reports)
    decisions = {
        m.name: remapped(
            decide(m.report.summary, None, gather(m.report.summary, m.report.measurements, m.report.accuracies)),
            dict(enumerate(m.places)),
        )
        for m in machines
    }
    together = _together(reports, names)
    return together.model_copy(
        update={
            "title": f"Comparison of {len(reports)} reports from {_count(len(machines), 'machine')}",
            "machines": {m.name: m.report.environment for m in machines},
            "decisions": decisions,
            "measuring": {
                "reports": [
                    {"title": r.title, "machine": name, "created_at": r.created_at, "measuring": r.measuring}
                    for r, name in zip(reports, names, strict=True)
                ]
            },
            "tables": {"Machines": [_machine_row(r, n) for r, n in zip(reports, names, strict=True)]} | together.tables,
        }
    )


def by_machine(reports: Sequence[Report]) -> list[Machine]:
    """The machines that reports are from, in the order of the reports.

    Raises:
        BadInputError: a report is a merged one or has no rows, is given twice, measures on one machine what another
            one has measured there already or under other versions, or calls another network by the same name.
    """
    _require_mergeable(reports)
    names = _names_of(reports)
    starts = [sum(len(r.summary) for r in reports[:i]) for i in range(len(reports))]
    machines = []
    for name in dict.fromkeys(names):
        mine = [i for i, other in enumerate(names) if other == name]
        places = [start + k for i in mine for start in [starts[i]] for k in range(len(reports[i].summary))]
        report = reports[mine[0]] if len(mine) == 1 else _pooled([reports[i] for i in mine], name)
        machines.append(Machine(name=name, report=report, places=tuple(places)))
    return machines


def machine_view(report: Report, name: str) -> Report:
    """What a merged report says of one machine, as a report of its own; measurements and evaluations stay whole."""
    mine = [i for i, row in enumerate(report.summary) if row.machine == name]
    here = {i: k for k, i in enumerate(mine)}
    return report.model_copy(
        update={
            "title": name,
            "environment": report.machines[name],
            "notes": tuple(note.removeprefix(f"{name}: ") for note in report.notes if note.startswith(f"{name}: ")),
            "summary": tuple(report.summary[i] for i in mine),
            "comparisons": tuple(
                c.model_copy(update={"row": here[c.row], "baseline": here[c.baseline]})
                for c in report.comparisons
                if c.row in here and c.baseline in here
            ),
            "scaling": tuple(s.model_copy(update={"row": here[s.row]}) for s in report.scaling if s.row in here),
            "decision": remapped(report.decisions[name], here),
            "machines": {},
            "decisions": {},
            "tables": {},
        }
    )


def remapped(decision: Decision, places: Mapping[int, int]) -> Decision:
    """The decision with its row indices replaced."""

    def of(i: int | None) -> int | None:
        return None if i is None else places[i]

    return decision.model_copy(
        update={
            "pareto": tuple(places[i] for i in decision.pareto),
            "recommended": of(decision.recommended),
            "runner_up": of(decision.runner_up),
            "nearest_miss": of(decision.nearest_miss),
            "rejected": tuple(r.model_copy(update={"row": places[r.row]}) for r in decision.rejected),
            "uncertain": tuple(r.model_copy(update={"row": places[r.row]}) for r in decision.uncertain),
            "front_share": {places[i]: share for i, share in decision.front_share.items()},
            "choice_share": {places[i]: share for i, share in decision.choice_share.items()},
            "sensitivity": tuple(s.model_copy(update={"row": of(s.row)}) for s in decision.sensitivity),
        }
    )


# --- what is refused --------------------------------------------------------------------------------------------------


def _require_mergeable(reports: Sequence[Report]) -> None:
    for report in reports:
        if report.machines:
            raise BadInputError(
                f"{report.title!r} is merged from several reports already", hint="give the reports that it was made of"
            )
        if not report.summary:
            raise BadInputError(f"{report.title!r} has no rows: nothing was measured", hint="leave it out")
    for i, report in enumerate(reports):
        for other in reports[:i]:
            _require_different(other, report)
            _require_same_networks(other, report)


def _require_different(a: Report, b: Report) -> None:
    """What two reports of one machine must not share, and what they must."""
    if same_report(a, b):
        raise BadInputError(f"the report {b.title!r} of {b.created_at} is given twice", hint="leave one of them out")
    if machine_of(a.environment) != machine_of(b.environment):
        return
    unlike = unlike_versions(a.environment, b.environment)
    if unlike:
        raise BadInputError(
            f"two reports of one machine are of different versions: {', '.join(unlike)}",
            hint="slrbench compare --allow-unlike tells what that changes",
        )
    twice = {key_of(row) for row in a.summary} & {key_of(row) for row in b.summary}
    if twice:
        shown = sorted(f"{key.model} on {key.backend} ({key.precision}, {key.device})" for key in twice)
        raise BadInputError(
            f"two reports of one machine measured the same: {', '.join(dict.fromkeys(shown))}",
            hint="slrbench compare BASE NEW compares two runs; to decide, bench everything in one run",
        )


def _require_same_networks(a: Report, b: Report) -> None:
    """One name, one network: checkpoints of one name have one hash."""
    mine, theirs = _checkpoints(a), _checkpoints(b)
    for model in mine.keys() & theirs.keys():
        if mine[model] != theirs[model]:
            raise BadInputError(
                f"{model!r} is another network in {b.title!r} than in {a.title!r}: their checkpoints' hashes differ",
                hint="give the models different names, or bench the same files on every machine",
            )


def _checkpoints(report: Report) -> dict[str, str]:
    return {row.model: row.artifact_sha256 for row in report.summary if row.format == "checkpoint"}


# --- names ------------------------------------------------------------------------------------------------------------


def _names_of(reports: Sequence[Report]) -> list[str]:
    """A name for the machine of each report: its GPU or CPU, with a number where two unlike ones share it."""
    keys = [machine_of(r.environment) for r in reports]
    names: dict[Any, str] = {}
    for report, key in zip(reports, keys, strict=True):
        if key in names:
            continue
        stem = machine_name(report.environment)
        taken = sum(name == stem or name.startswith(f"{stem} #") for name in names.values())
        names[key] = stem if not taken else f"{stem} #{taken + 1}"
    return [names[key] for key in keys]


def machine_name(environment: Environment) -> str:
    """A short name: ``NVIDIA H100``, or ``AMD EPYC, 2 cores`` where there is no GPU."""
    if environment.gpus:
        gpu = environment.gpus[0].partition(",")[0]
        return gpu if len(environment.gpus) == 1 else f"{len(environment.gpus)} x {gpu}"
    cpu = re.sub(r"\(R\)|\(TM\)|\(.*?\)|@.*|\bCPU\b|\bProcessor\b", " ", environment.cpu)
    return f"{' '.join(cpu.split()) or 'CPU'}, {_count(environment.cpu_logical_cores, 'core')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


# --- putting together -------------------------------------------------------------------------------------------------


def _pooled(reports: Sequence[Report], name: str) -> Report:
    """Several reports of one machine as one."""
    notes = "measured in separate sessions, not in turns: differences between them hold what changed in between"
    pooled = _together(reports, [""] * len(reports))
    return pooled.model_copy(update={"title": name, "notes": (*pooled.notes, notes)})


def _together(reports: Sequence[Report], names: Sequence[str]) -> Report:
    """All parts of the reports one after the other, with indices that hold."""
    rows: list[SummaryRow] = []
    parts: dict[str, list[Any]] = {
        name: [] for name in ("measurements", "accuracies", "skipped", "not_run", "load", "peaks", "comparisons",
                              "scaling", "training", "notes")
    }  # fmt: skip
    verdicts: dict[str, dict[str, Any]] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    for report, name in zip(reports, names, strict=True):
        first_row, first_measurement = len(rows), len(parts["measurements"])
        said = f"{name}: " if name else ""
        rows += [_moved(row, first_measurement, name) for row in report.summary]
        parts["measurements"] += report.measurements
        parts["accuracies"] += report.accuracies
        parts["skipped"] += [s.model_copy(update={"reason": f"{said}{s.reason}"}) for s in report.skipped]
        parts["not_run"] += [entry for entry in report.not_run if entry not in parts["not_run"]]
        parts["load"] += report.load
        parts["peaks"] += [p.model_copy(update={"how": f"{said}{p.how}"}) for p in report.peaks]
        parts["comparisons"] += [
            c.model_copy(update={"row": c.row + first_row, "baseline": c.baseline + first_row})
            for c in report.comparisons
        ]
        parts["scaling"] += [s.model_copy(update={"row": s.row + first_row}) for s in report.scaling]
        parts["training"] += [t for t in report.training if t not in parts["training"]]
        parts["notes"] += [f"{said}{note}" for note in report.notes]
        for key, verdict in report.verdicts.items():
            verdicts[key if verdicts.get(key, verdict) == verdict else f"{said}{key}"] = verdict
        for title, table in report.tables.items():
            tables[title if title not in tables else f"{title} ({report.title})"] = table
    return Report(
        title=" and ".join(dict.fromkeys(r.title for r in reports)),
        created_at=max(r.created_at for r in reports),
        environment=reports[0].environment,
        summary=tuple(rows),
        verdicts=verdicts,
        tables=tables,
    ).model_copy(update={name: tuple(part) for name, part in parts.items()})


def _moved(row: SummaryRow, first_measurement: int, name: str) -> SummaryRow:
    place = None if row.measurement is None else row.measurement + first_measurement
    return row.model_copy(update={"measurement": place, "machine": name})


def _machine_row(report: Report, name: str) -> dict[str, Any]:
    """What the table of machines says of one report."""
    e = report.environment
    floor = report.noise_floor
    return {
        "Machine": name,
        "CPU": e.cpu.partition(" (")[0],
        "Cores": e.cpu_logical_cores,
        "GB": round(e.memory_bytes / 1e9),
        "GPU": ", ".join(e.gpus) or "none",
        "Rows": len(report.summary),
        "A/A": None if floor is None else f"{floor.ratio.low:.3f} .. {floor.ratio.high:.3f}",
        "Captured": e.created_at[:10],
    }
