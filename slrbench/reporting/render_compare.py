"""What ``slrbench compare`` shows: the verdict in one sentence, a table of 100 columns, what is in one report only."""

from collections.abc import Sequence

from slrbench.records import SpeedVerdict
from slrbench.reporting.compare_reports import ComparedReports, ComparedRow
from slrbench.reporting.display import MISSING, milliseconds, percent, with_input
from slrbench.reporting.markdown import bullets, paragraphs, table
from slrbench.reporting.plain_text import listed, plain_table, wrapped


def render_compare(compared: ComparedReports) -> str:
    """The comparison as text of at most 100 columns."""
    headers, cells = _cells(compared)
    parts = [
        wrapped(verdict_sentence(compared)),
        wrapped(_about(compared)),
        plain_table(headers, cells, names=(0, 1, 2), left=3, then=(3, 4)),
        wrapped(_legend(compared)),
        *(listed(title, items) for title, items in _lists(compared)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_compare_markdown(compared: ComparedReports) -> str:
    """The comparison as Markdown, for a comment under a change."""
    headers, cells = _cells(compared)
    lists = [f"{title}\n\n{bullets(items)}" for title, items in _lists(compared) if items]
    return (
        paragraphs(
            f"**{verdict_sentence(compared)}**",
            _about(compared),
            table(headers, cells, left=3),
            _legend(compared),
            *lists,
        )
        + "\n"
    )


def verdict_sentence(compared: ComparedReports) -> str:
    """Whether something got worse for sure, in one sentence."""
    slower = [row for row in compared.rows if row.regression == "slower"]
    parity = [row for row in compared.rows if row.regression == "parity"]
    worse = [row for row in compared.rows if row.regression == "wer"]
    allowed = f"{percent(compared.fail_if_slower)} %"
    if not compared.regressions:
        words: tuple[SpeedVerdict, ...] = ("FASTER", "SAME", "SLOWER", "UNCLEAR")
        counts = [(word, sum(row.verdict == word for row in compared.rows)) for word in words]
        shown = ", ".join(f"{count} {word}" for word, count in counts if count)
        return f"No regression: no row is slower by more than {allowed} for sure ({shown}). {_power(compared)}"
    said = [f"{_few_names(slower)} slower by more than {allowed}"] if slower else []
    lost = ", ".join(row.name for row in parity[:3]) + (f", {len(parity) - 3} more" if len(parity) > 3 else "")
    said += [f"{lost} without parity, which passed before"] if parity else []
    said += [f"{_wer_words(worse)} for sure"] if worse else []
    return f"Regression: {'; '.join(said)}."


def _wer_words(rows: Sequence[ComparedRow]) -> str:
    named = ", ".join(f"{row.name} ({100 * (row.wer_change or 0.0):+.2f} points)" for row in rows[:3])
    return f"the WER of {named}{f', {len(rows) - 3} more' if len(rows) > 3 else ''} rose"


def _power(compared: ComparedReports) -> str:
    """What the comparison could not have seen: an absence of evidence is none of a regression."""
    if compared.unseen is None:
        return "Rows without an interval (fewer than 6 rounds) could not have shown one."
    unsure = len(compared.inconclusive)
    rows = f"; {unsure} of {len(compared.rows)} rows may be slower than that for all that is known" if unsure else ""
    return f"A slowdown of up to {percent(compared.unseen)} % could have gone unseen in the noisiest row{rows}."


def _few_names(rows: Sequence[ComparedRow]) -> str:
    names = [f"{row.name} (x{row.ratio:.3f})" for row in rows[:3]]
    more = [f"{len(rows) - 3} more"] if len(rows) > 3 else []
    return ", ".join([*names, *more])


def _about(compared: ComparedReports) -> str:
    scope = "end to end" if compared.scope == "end_to_end" else "compute"
    return f"Base: {compared.base}. New: {compared.new}. Times: p50, {scope}."


def _legend(compared: ComparedReports) -> str:
    size = "" if any(row.size_change_bytes for row in compared.rows) else " No file changed its size."
    changes = [row.wer_change for row in compared.rows if row.wer_change is not None]
    wer = " No WER was measured on the same clips." if not changes else "" if any(changes) else " No WER changed."
    more = any(row.more_rounds for row in compared.rows)
    unclear = " UNCLEAR +n: n more rounds in each report would tell, estimated." if more else ""
    return (
        f"Ratio: time in the new report / time in the base report, with its interval (95 %). Differences below "
        f"{percent(compared.threshold)} % count as none; FASTER and SLOWER are corrected for {len(compared.rows)} "
        f"row{'' if len(compared.rows) == 1 else 's'}.{unclear}{wer}{size}"
    )


def _cells(compared: ComparedReports) -> tuple[list[str], list[list[str]]]:
    """Headers and cells; what changed in no row has no column."""
    rows = compared.rows
    with_wer = any(row.wer_change for row in rows)
    with_size = any(row.size_change_bytes for row in rows)
    headers = ["Model", "Backend", "B x T", "Base -> new (ms)", "Ratio", "Verdict"]
    headers += [*(["WER (pts)"] if with_wer else []), *(["MB"] if with_size else [])]
    cells = []
    for row in rows:
        line = [row.model, _backend(row), _shape(row, rows), _times(row), _ratio(row), _verdict(row)]
        line += [MISSING if row.wer_change is None else f"{100 * row.wer_change:+.2f}"] if with_wer else []
        line += [f"{row.size_change_bytes / 1e6:+.2f}"] if with_size else []
        cells.append(line)
    return headers, cells


def _backend(row: ComparedRow) -> str:
    parts = [with_input(row.backend, row.input_kind, row.variant)]
    parts += [row.precision] if row.precision != "fp32" else []
    parts += [row.device] if row.device != "cpu" else []
    return " ".join(parts)


def _shape(row: ComparedRow, rows: Sequence[ComparedRow]) -> str:
    """Batch and frames; frame size and threads where they differ between rows."""
    sizes, threads = {(r.height, r.width) for r in rows}, {r.threads for r in rows}
    size = f", {row.height} px" if len(sizes) > 1 else ""
    return f"{row.batch} x {row.frames}{size}{f', {row.threads} thr.' if len(threads) > 1 else ''}"


def _times(row: ComparedRow) -> str:
    return f"{milliseconds(row.base_p50_s)} -> {milliseconds(row.new_p50_s)}"


def _ratio(row: ComparedRow) -> str:
    if row.interval is None:
        return f"{row.ratio:.3f}"
    return f"{row.ratio:.3f} ({row.interval.low:.3f} .. {row.interval.high:.3f})"


def _verdict(row: ComparedRow) -> str:
    more = f" +{row.more_rounds}" if row.more_rounds else ""
    return f"{row.verdict}{more}{' !' if row.regression else ''}"


def _lists(compared: ComparedReports) -> list[tuple[str, list[str]]]:
    parity = [f"{row.name}: {row.parity}" for row in compared.rows if "->" in row.parity]
    return [
        ("Unlike, and compared all the same:", list(compared.unlike)),
        ("Parity changed:", parity),
        ("Only in the base report:", list(compared.only_base)),
        ("Only in the new report:", list(compared.only_new)),
        ("Notes:", list(compared.notes)),
    ]
