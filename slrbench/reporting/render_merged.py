"""A report merged from several, as Markdown: a decision for each machine, every file side by side, each machine."""

from slrbench.records import Report, SummaryRow
from slrbench.reporting.certainty import certainty, changes, front_words
from slrbench.reporting.display import MISSING, backend_on, milliseconds, percent
from slrbench.reporting.markdown import bullets, free_table, paragraphs, table, text
from slrbench.reporting.matching import RowKey, key_of
from slrbench.reporting.merge import machine_view
from slrbench.reporting.naming import shape
from slrbench.reporting.render_markdown import headline
from slrbench.reporting.tables import lines_of, results_table

_SIDE_BY_SIDE = 3
"""So many machines get a column each; more of them a line each."""


def render_merged(report: Report) -> str:
    """A merged report as Markdown, from the figures that it holds; nothing is computed anew."""
    views = {name: machine_view(report, name) for name in report.machines}
    sections = [
        paragraphs(
            f"# {text(report.title)}",
            bullets(f"**{name}**: {headline(view)}" for name, view in views.items()),
            "Machines do not compete: which one to buy is no question that a file answers.",
        ),
        _section("Machines", free_table(report.tables.get("Machines", []))),
        _section("Every file on every machine", _side_by_side(report)),
        *(_section(name, _machine(view)) for name, view in views.items()),
        *(_section(title, free_table(rows)) for title, rows in report.tables.items() if title != "Machines"),
        _section("Notes", bullets(report.notes)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {text(title)}\n\n{body}" if body else ""


def _side_by_side(report: Report) -> str:
    """p50 end to end of each file at each shape, by machine."""
    rows: dict[RowKey, dict[str, SummaryRow]] = {}
    for row in report.summary:
        if row.scope == "end_to_end":
            # Threads differ between machines as their cores do; the file and the shape are what is compared.
            rows.setdefault(key_of(row)._replace(threads=0), {}).setdefault(row.machine, row)
    machines = list(report.machines)
    if len(machines) > _SIDE_BY_SIDE:
        lines = [(_name(row), machine, row) for of_key in rows.values() for machine, row in of_key.items()]
        return table(
            ["Model", "Backend", "B x T", "Machine", "p50 (ms)", "WER (%)"],
            [(*name, machine, milliseconds(row.p50_s), percent(row.wer)) for name, machine, row in lines],
            left=4,
        )
    body = [
        (
            *_name(next(iter(of_key.values()))),
            *(milliseconds(of_key[machine].p50_s) if machine in of_key else MISSING for machine in machines),
        )
        for of_key in rows.values()
    ]
    cells = table(["Model", "Backend", "B x T", *machines], body, left=3)
    return paragraphs(cells, "p50 end to end in ms for one call, each on the machine of its column.")


def _name(row: SummaryRow) -> tuple[str, str, str]:
    return row.model, backend_on(row), shape(row)


def _machine(view: Report) -> str:
    """The decision on one machine, and the table behind it."""
    decision = view.decision
    assert decision is not None, "a merged report has a decision for every machine"
    changed = changes(view.summary, decision)
    return paragraphs(
        f"**{headline(view)}**",
        decision.reason if decision.recommended is not None else "",
        bullets(part for part in (*certainty(view.summary, decision), front_words(view.summary, decision)) if part),
        paragraphs("If a limit changes:", bullets(changed)) if changed else "",
        results_table(view, lines_of(view.summary)),
    )
