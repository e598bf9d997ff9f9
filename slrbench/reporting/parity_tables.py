"""The parity section: every verdict with its gates and machine, and engines that were not run where they were built."""

from collections.abc import Iterable, Sequence
from typing import Any

from slrbench.records import Report
from slrbench.reporting.display import MISSING, backend_name, with_input
from slrbench.reporting.markdown import Cells, paragraphs, table

_INT8 = "int8"


def parity_section(report: Report) -> str:
    """Verdicts, then what has none; empty where the report has neither."""
    return paragraphs(_verdicts(report), _not_run(report.not_run))


def _verdicts(report: Report) -> str:
    verdicts = report.verdicts
    if not verdicts:
        return ""
    names = {row.artifact_sha256: (row.model, backend_name(row)) for row in report.summary}
    rows = [_row(verdict, names.get(sha256, (sha256[:12], MISSING))) for sha256, verdict in verdicts.items()]
    every = list(verdicts.values())
    shown = {
        "Because": not all(verdict.get("passed") for verdict in every),
        "Gates": any(verdict.get("gates", "fp32") != "fp32" for verdict in every),
        "On": any(verdict.get("machine") for verdict in every),
        "WER (points)": any(verdict.get("wer") for verdict in every),
    }
    headers = [header for header in rows[0] if shown.get(header, True)]
    text = sum(header in ("Model", "Backend", "Verdict", "Because", "Gates", "On") for header in headers)
    return paragraphs(table(headers, [[row[h] for h in headers] for row in rows], left=text), _footnote(every, shown))


def _row(verdict: dict[str, Any], measured_as: tuple[str, str]) -> dict[str, Any]:
    """All cells of a verdict by their header, text first."""
    cases = verdict.get("cases", ())
    judged_by_values = verdict.get("gates") != _INT8
    return {
        "Model": verdict.get("model", measured_as[0]),
        "Backend": _file(verdict) or measured_as[1],
        "Verdict": "passed" if verdict.get("passed") else "FAILED",
        "Because": "; ".join(verdict.get("reasons", ())),
        "Gates": verdict.get("gates", "fp32"),
        "On": verdict.get("machine") or "CPU",
        "Cases": len(cases),
        "Max abs error": _scientific(_worst(verdict)),
        "Tolerance": _scientific(verdict.get("tolerance_atol")) if judged_by_values else MISSING,
        "Needed": _scientific(verdict.get("needed_atol")) if judged_by_values else MISSING,
        "WER (points)": _wer_difference(verdict.get("wer")),
    }


def _file(verdict: dict[str, Any]) -> str:
    """``onnx (uint8)``, ``trt fp16 rtx.sm86-sm89``, or ``torch (compile) fp16 cuda`` where the benchmark judged it.

    Empty where the verdict does not say of which file it is.
    """
    name = verdict.get("backend") if verdict.get("judged_here") else verdict.get("format", verdict.get("backend"))
    if name is None:
        return ""
    parts = [with_input(name, verdict.get("input_kind", "float32"), verdict.get("variant", ""))]
    parts += [verdict["precision"]] if verdict.get("precision", "fp32") != "fp32" else []
    parts += [verdict["target"]] if verdict.get("target") else []
    parts += [verdict["device"]] if verdict.get("device", "cpu") != "cpu" else []
    return " ".join(parts)


def _worst(verdict: dict[str, Any]) -> float | None:
    errors = (case.get("max_abs_error") for case in verdict.get("cases", ()))
    return max((error for error in errors if error is not None), default=None)


def _wer_difference(wer: dict[str, Any] | None) -> str:
    return MISSING if wer is None else f"{100 * (wer['candidate'] - wer['reference']):+.2f}"


def _footnote(verdicts: Sequence[dict[str, Any]], shown: dict[str, bool]) -> str:
    by_values = [verdict for verdict in verdicts if verdict.get("gates") != _INT8]
    tolerances = sorted({verdict.get("tolerance_rtol", 1e-4) for verdict in by_values})
    relative = " or ".join(f"{tolerance:.0e}".replace("e-0", "e-") for tolerance in tolerances)
    sentences = []
    if by_values:
        sentences.append(
            f"Needed: the absolute tolerance that would have been needed beside the relative one of {relative}."
        )
    if shown["Gates"]:
        sentences.append("Gates: how close a file must be, by the precision that it computes in.")
    if shown["WER (points)"]:
        sentences.append(f"WER: percentage points above the reference on {_wer_basis(verdicts)}.")
    return " ".join(sentences)


def _wer_basis(verdicts: Iterable[dict[str, Any]]) -> str:
    found = [verdict["wer"] for verdict in verdicts if verdict.get("wer")]
    bases = dict.fromkeys(f"{w['clips']} clips of `{w['split']}`, {100 * w['allowed']:.2g} allowed" for w in found)
    return " or ".join(bases)


def _not_run(engines: Sequence[dict[str, Any]]) -> str:
    """Engines that could not be run where they were built, with the verdict of the graph behind each, named as such."""
    if not engines:
        return ""
    cells = table(
        ["Engine of", "Precision", "Target", "Parity", "Its graph's parity", "Graph's max abs error"],
        [_not_run_row(engine) for engine in engines],
        left=5,
    )
    return paragraphs(
        cells,
        "An engine without a verdict of its own is never recommended. Its graph is the ONNX file that it was built "
        "from, judged on the CPU (in bf16 the torch module is, since ONNX Runtime computes none): that "
        "verdict is the graph's and says nothing of the engine. On the machine that the "
        "engine is for, `python -m slrbench verify ENGINE` gives it one.",
    )


def _not_run_row(engine: dict[str, Any]) -> Cells:
    graph = engine.get("network_parity")
    word = "not run" if graph is None else "passed" if graph.get("passed") else "FAILED"
    if graph is not None and not graph.get("artifact_sha256"):
        word += " (of the torch module)"  # no runtime here computes the graph itself
    because = engine.get("because")
    return (
        engine.get("model"),
        with_input(engine.get("precision", MISSING), engine.get("input_kind", "float32")),
        engine.get("target") or MISSING,
        f"not run: {because}" if because else "not run",
        word,
        _scientific(None if graph is None else _worst(graph)),
    )


def _scientific(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1e}"
