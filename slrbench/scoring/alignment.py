"""How references and hypotheses are aligned, and so how many errors there are; see ``slrbench.scoring``."""

from collections.abc import Sequence
from typing import Literal

import jiwer

from slrbench.errors import BadInputError
from slrbench.records import ErrorCounts

Alignment = Literal["unit", "sclite"]
ALIGNMENTS: tuple[Alignment, ...] = ("unit", "sclite")

SUBSTITUTION_COST = 4
GAP_COST = 3
"""sclite's costs: of a substitution, and of a deletion or an insertion."""

Words = tuple[str, ...]


def alignment_named(name: str) -> Alignment:
    """``unit`` or ``sclite``.

    Raises:
        BadInputError: another name.
    """
    for known in ALIGNMENTS:
        if name == known:
            return known
    raise BadInputError(f"unknown alignment {name!r}", hint=f"known: {', '.join(ALIGNMENTS)}")


def count(
    references: Sequence[Words], hypotheses: Sequence[Words], alignment: Alignment
) -> tuple[ErrorCounts, tuple[int, ...]]:
    """Errors over all pairs, and how many each pair has.

    Raises:
        ValueError: the two differ in length.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")
    return (_count_units if alignment == "unit" else _count_weighted)(references, hypotheses)


def _counts(references: Sequence[Words], substitutions: int, deletions: int, insertions: int) -> ErrorCounts:
    return ErrorCounts(
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        reference_words=sum(map(len, references)),
    )


def _count_units(references: Sequence[Words], hypotheses: Sequence[Words]) -> tuple[ErrorCounts, tuple[int, ...]]:
    tokens: dict[str, str] = {}

    def words(glosses: Words) -> str:
        return " ".join(tokens.setdefault(gloss, f"g{len(tokens)}") for gloss in glosses)

    found = jiwer.process_words(list(map(words, references)), list(map(words, hypotheses)))
    counts = _counts(references, found.substitutions, found.deletions, found.insertions)
    return counts, tuple(sum(map(_errors, chunks)) for chunks in found.alignments)


def _errors(chunk: jiwer.AlignmentChunk) -> int:
    """Errors in one stretch of an alignment: one per word of the longer side, none where both are equal."""
    if chunk.type == "equal":
        return 0
    return max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)


def _count_weighted(references: Sequence[Words], hypotheses: Sequence[Words]) -> tuple[ErrorCounts, tuple[int, ...]]:
    errors = [_weighted_errors(r, h) for r, h in zip(references, hypotheses, strict=True)]
    columns = [sum(column) for column in zip(*errors, strict=True)]
    return _counts(references, *columns), tuple(map(sum, errors))


def _weighted_errors(reference: Words, hypothesis: Words) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions of one clip on its cheapest alignment, ties as the module says."""
    # Cost and errors of the best alignment of the first i reference words with the first j of the hypothesis.
    row = [(GAP_COST * j, (0, 0, j)) for j in range(len(hypothesis) + 1)]
    for i, expected in enumerate(reference, start=1):
        above, row = row, [(GAP_COST * i, (0, i, 0))]
        for j, word in enumerate(hypothesis, start=1):
            cost, (s, d, n) = above[j - 1]
            if word == expected:
                row.append((cost, (s, d, n)))
                continue
            best = cost + SUBSTITUTION_COST, (s + 1, d, n)
            cost, (s, d, n) = above[j]
            if cost + GAP_COST < best[0]:
                best = cost + GAP_COST, (s, d + 1, n)
            cost, (s, d, n) = row[j - 1]
            if cost + GAP_COST < best[0]:
                best = cost + GAP_COST, (s, d, n + 1)
            row.append(best)
    return row[-1][1]
