"""Word error rates by the conventions that published figures follow: what is cleaned up, and how words are aligned.

WER = (S + D + I) / N over all clips together, N the reference words after the clean-up. Nothing here catches an error:
what cannot be scored raises, and is never a rate of 100 %.

**Alignment.** Errors are counted on the cheapest alignment of hypothesis and reference. ``unit``: each error costs 1,
so their number is the least possible (jiwer, torchmetrics). ``sclite``: a substitution costs 4, a deletion or an
insertion 3, as in NIST's sclite and the field's Python scorers; each still counts once, and the rate is never below the
other. Of alignments that cost the same, the one is taken that prefers, from the end of the clip on, a substitution to a
deletion and that to an insertion, as a Python scorer of the field does; sclite itself may break a tie otherwise.

**Clean-up**, by name (``RULES``):

- ``plain``: none.
- ``phoenix2014``: what PHOENIX-2014's own evaluation script does to each recognised word (it reads them one to a line,
  so its rules about neighbouring words never apply), on hypotheses and references; then adjacent equal words of a
  hypothesis, and of the hypothesis only, become one, as in the scorers of the VAC family.
- ``phoenix2014-sentence``: the same rules on whole sentences, as translation code bases have them: letters that are
  spelled one by one are joined, WIE AUSSEHEN is one word, and equal neighbours are merged in references, too, which so
  lose words (5 of the dev split's, 10 of the test split's). The two so-called standard figures differ by that.
- ``phoenix2014t``: PHOENIX-2014T's clean-up, on whole sentences, hypotheses and references alike: every ``__WORD__`` is
  dropped. (PHOENIX-2014 keeps ``__ON__`` and ``__OFF__``, a tenth of its reference words.)
- ``csl-daily``: no clean-up, but adjacent equal words of a hypothesis become one, as all published systems do it. A
  gloss that is signed twice is an error then: 1.5 % of the words of dev.

The scripts fill an empty hypothesis with a word of their own. Here it is all deletions, which are as many errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slrbench.errors import BadInputError
from slrbench.records import ErrorCounts
from slrbench.scoring.alignment import ALIGNMENTS, Alignment, Words, alignment_named, count
from slrbench.scoring.rules import PLAIN, RULES, ScoringRule, rule_named

__all__ = [
    "ALIGNMENTS",
    "PLAIN",
    "RULES",
    "Alignment",
    "Score",
    "ScoringRule",
    "alignment_named",
    "count_errors",
    "rule_named",
    "score",
]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Errors over all clips and in each, with what was compared."""

    rule: ScoringRule
    alignment: Alignment
    counts: ErrorCounts
    clip_errors: tuple[int, ...]
    references: tuple[Words, ...]
    """After the clean-up."""
    hypotheses: tuple[Words, ...]

    def aligned(self, alignment: Alignment) -> "Score":
        """The same words, aligned otherwise."""
        counts, errors = count(self.references, self.hypotheses, alignment)
        return Score(
            rule=self.rule,
            alignment=alignment,
            counts=counts,
            clip_errors=errors,
            references=self.references,
            hypotheses=self.hypotheses,
        )


def score(
    *,
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[Sequence[str]],
    rule: ScoringRule = PLAIN,
    alignment: Alignment | None = None,
) -> Score:
    """Clean up, align and count.

    Args:
        references: glosses of each clip, in or out of the vocabulary. A gloss is one word whatever characters are in
            it, spaces among them, but for the rules about sentences.
        hypotheses: what was decoded from each clip, in the same order; one may be empty.
        rule: the convention.
        alignment: in place of the rule's.

    Raises:
        BadInputError: there is no clip, or a reference is empty, before or after the clean-up: its WER is undefined.
        ValueError: the two differ in length.
    """
    chosen = rule.alignment if alignment is None else alignment
    _require_words(references, "")
    cleaned = tuple(map(rule.reference, references)), tuple(map(rule.hypothesis, hypotheses))
    _require_words(cleaned[0], f" after the clean-up of {rule.name}")
    counts, clip_errors = count(*cleaned, chosen)
    return Score(
        rule=rule,
        alignment=chosen,
        counts=counts,
        clip_errors=clip_errors,
        references=cleaned[0],
        hypotheses=cleaned[1],
    )


def count_errors(*, references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> ErrorCounts:
    """Substitutions, deletions and insertions over all pairs, without any clean-up, at unit costs.

    Raises:
        BadInputError: there is no pair, or a reference is empty (its error rate would be undefined).
        ValueError: the two lists differ in length.
    """
    return score(references=references, hypotheses=hypotheses).counts


def _require_words(references: Sequence[Sequence[str]], when: str) -> None:
    if not references:
        raise BadInputError("there is nothing to score: no clip was given", hint="choose another split, or more clips")
    empty = [i for i, reference in enumerate(references) if not reference]
    if empty:
        raise BadInputError(
            f"the reference of clip {empty[0]} is empty{when} ({len(empty)} of {len(references)}): "
            "its WER is undefined",
            hint="leave clips without glosses out" + (", or score with --scoring plain" if when else ""),
        )
