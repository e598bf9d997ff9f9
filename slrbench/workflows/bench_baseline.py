"""Which candidate the others are compared with."""

from collections.abc import Sequence

from slrbench.errors import BadInputError
from slrbench.records import Candidate
from slrbench.runners.availability import check_backend
from slrbench.workflows.bench_axes import Axes
from slrbench.workflows.bench_candidates import BenchModel, Plan


def split_baseline(text: str) -> tuple[str, str]:
    """Model (empty: any) and backend of ``[MODEL:]BACKEND``; a model's own words may hold colons.

    Raises:
        BadInputError: there is no such backend.
    """
    model, _, backend = text.rpartition(":")
    check_backend(backend)
    return model, backend


def check_baseline(text: str, axes: Axes) -> None:
    """Refuse a baseline that is not among what is asked for, before anything is built.

    Raises:
        BadInputError: there is no such backend, or it is not measured.
    """
    if text and split_baseline(text)[1] not in axes.backends:
        raise BadInputError(
            f"--baseline {text!r} is not among the backends that are measured: {', '.join(axes.backends)}",
            hint=f"--baseline {axes.backends[0]}, or add it to --backend",
        )


def find_baseline(text: str, plan: Plan, models: Sequence[BenchModel]) -> int:
    """Index of the candidate that ``text`` names, the first of several; of the first of all where it is empty.

    Raises:
        BadInputError: none of the candidates is it.
    """
    if not text:
        return 0
    model, backend = split_baseline(text)
    wanted = {m.model_id for m in models if model in ("", m.model_id, m.model_id.removeprefix("untrained "))}
    wanted |= {m.model_id for m in models if model == m.spec.architecture}
    for index, candidate in enumerate(plan.candidates):
        if candidate.backend == backend and candidate.model in wanted:
            return index
    refused = [row for row, _ in plan.refused if row.backend == backend and row.model in wanted]
    why = f" cannot be measured: {refused[0].reason}" if refused else " is none of the candidates"
    raise BadInputError(f"--baseline {text!r}{why}", hint=f"--baseline {_short(plan.candidates[0])}, for example")


def _short(candidate: Candidate) -> str:
    return f"{candidate.model}:{candidate.backend}"
