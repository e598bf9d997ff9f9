"""``slrbench decide``: which file to ship under stated limits, and how sure that is."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def command(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT...", help="Each a report.json, or the folder that holds one.")
    ],
    max_p50_ms: Annotated[float | None, typer.Option(help="Largest median latency, end to end (ms).")] = None,
    max_p99_ms: Annotated[float | None, typer.Option(help="Largest p99 latency, end to end (ms).")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Largest file (MB of 1,000,000 bytes).")] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="Largest peak memory (MB); on a GPU of host and device each.")
    ] = None,
    max_cold_start_ms: Annotated[
        float | None, typer.Option(help="Longest import, load and first call in a fresh process (ms).")
    ] = None,
    max_wer: Annotated[str | None, typer.Option(metavar="SHARE", help="Largest word error rate: 0.15 or 15%.")] = None,
    min_streams: Annotated[int | None, typer.Option(help="Fewest streams of 25 fps that must be sustained.")] = None,
    min_throughput: Annotated[float | None, typer.Option(help="Fewest clips per second.")] = None,
    device: Annotated[str | None, typer.Option(help="Decide on this device: cpu, cuda, cuda:N.")] = None,
    batch: Annotated[int | None, typer.Option(help="Decide at this batch.")] = None,
    frames: Annotated[int | None, typer.Option(help="Decide at this number of frames.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="What is best: latency, throughput, size or wer; latency by default.")
    ] = None,
    requirements: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with the same names; options go before it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The decision as one JSON document.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
) -> None:
    """Say which file to ship under stated limits, why the others are out, and where the choice would change.

    Exit code 1: nothing meets the requirements; the nearest miss is named. Reports of several machines are decided
    machine by machine, and all of them must have something feasible.
    """
    from slrbench.cli.bench_values import deeper_command
    from slrbench.cli.delivery import deliver
    from slrbench.errors import NegativeVerdictError
    from slrbench.reporting.deciding import decide_reports
    from slrbench.reporting.requirements import parse_wer, read_requirements
    from slrbench.reporting.store import read_report
    from slrbench.statistics.percentiles import MIN_SAMPLES

    options = {
        "max_p50_ms": max_p50_ms,
        "max_p99_ms": max_p99_ms,
        "max_size_mb": max_size_mb,
        "max_memory_mb": max_memory_mb,
        "max_cold_start_ms": max_cold_start_ms,
        "max_wer": None if max_wer is None else parse_wer(max_wer),
        "min_streams": min_streams,
        "min_throughput": min_throughput,
        "device": device,
        "batch": batch,
        "frames": frames,
        "objective": objective,
    }
    asked = read_requirements(requirements, options)
    found = [read_report(path, rows_needed=True) for path in reports]
    decided = decide_reports(found, asked)
    deliver(decided.json() if json else decided.text(), output)
    if not decided.feasible:
        rounds = decided.rounds_for_p99() if asked.max_p99_ms is not None else None
        if rounds is not None:
            words = shlex.split(found[0].command)[3:]
            raise NegativeVerdictError(
                f"nothing is known to meet the requirements: p99 takes {MIN_SAMPLES[0.99]} samples, and some rows have "
                "fewer",
                hint=f"{deeper_command(words if words[:1] == ['bench'] else ['bench'], rounds)}    (enough for p99)",
            )
        raise NegativeVerdictError(
            "nothing meets the requirements", hint="the nearest miss and by how much it misses stand in the answer"
        )
