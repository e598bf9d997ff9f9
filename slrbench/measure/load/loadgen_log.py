"""LoadGen's own result, read from ``mlperf_log_summary.txt``."""

import re
from pathlib import Path
from typing import Any

from slrbench.errors import RunFailedError

SUMMARY_NAME = "mlperf_log_summary.txt"
LOG_NAMES = (SUMMARY_NAME, "mlperf_log_detail.txt", "mlperf_log_accuracy.json")
"""Files that LoadGen writes and a report keeps, where there is something in them."""

_EMPTY_BYTES = 4
"""An accuracy log without entries is an empty JSON list."""

_PARAMETERS = "Test Parameters Used"
_PAIR = re.compile(r"\s*(?:\* )?(?P<name>[^:]+?)\s*: *(?P<value>\S.*?)\s*$")
_COUNT = re.compile(r"\s*(?P<count>No|\d+) (?P<kind>warning|error)s? encountered", re.IGNORECASE)


def read_summary(path: Path) -> dict[str, Any]:
    """The summary's figures by LoadGen's own names; times stay in nanoseconds, as the names say.

    Beside them: ``valid`` (bool), ``recommendations`` (lines of advice and of early stopping), ``parameters``, and the
    numbers of ``warnings`` and ``errors``.

    Raises:
        RunFailedError: there is no summary, or it has no verdict: LoadGen did not finish.
    """
    if not path.is_file():
        raise RunFailedError(f"LoadGen wrote no {SUMMARY_NAME}")
    found: dict[str, Any] = {"parameters": {}, "recommendations": []}
    into = found
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() == _PARAMETERS:
            into = found["parameters"]
        elif (count := _COUNT.match(line)) is not None:
            found[f"{count['kind'].lower()}s"] = 0 if count["count"].lower() == "no" else int(count["count"])
        elif (pair := _PAIR.match(line)) is not None:
            into[pair["name"]] = _value(pair["value"])
        elif line.startswith(" "):
            found["recommendations"].append(line.strip().removeprefix("* "))
    if "Result is" not in found:
        raise RunFailedError(f"{SUMMARY_NAME} says nothing of a result", hint="LoadGen did not finish")
    return {"valid": found["Result is"] == "VALID", **found}


def kept_logs(folder: Path) -> list[Path]:
    """The log files in ``folder`` that hold something."""
    paths = [folder / name for name in LOG_NAMES]
    return [path for path in paths if path.is_file() and path.stat().st_size > _EMPTY_BYTES]


def _value(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
