"""The golden report, and rows to decide between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slrbench.records import Report, SummaryRow
from slrbench.reporting.store import read_report
from tests.reporting.enriched import enriched_report

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def golden_report() -> Report:
    return read_report(GOLDEN)


@pytest.fixture(scope="session")
def gpu_report() -> Report:
    """Invented figures of torch, onnx and trt on a GPU, in several precisions and variants, and one row of the CPU."""
    return read_report(GOLDEN / "gpu")


@pytest.fixture(scope="session")
def make_row(golden_report: Report) -> Callable[..., SummaryRow]:
    """A feasible end-to-end row of batch 1 in which any field may be another."""
    base = next(r for r in golden_report.summary if r.scope == "end_to_end" and r.parity == "passed" and r.batch == 1)

    def make(**fields: Any) -> SummaryRow:
        return SummaryRow.model_validate({**base.model_dump(), "wer": 0.05, "wer_split": "test", **fields})

    return make


@pytest.fixture(scope="session")
def rich_report() -> Report:
    """Invented figures in every part of the present schema."""
    return enriched_report()
