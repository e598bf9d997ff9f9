"""The conventions by name; see ``slrbench.scoring``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slrbench.errors import BadInputError
from slrbench.scoring import cleanup
from slrbench.scoring.alignment import Alignment, Words


@dataclass(frozen=True, kw_only=True)
class ScoringRule:
    """A convention: what is done to references and hypotheses before they are compared, and how they are aligned."""

    name: str
    about: str
    alignment: Alignment = "sclite"
    """The convention's own; another may be asked for."""
    clean: Callable[[Sequence[str]], Words] = cleanup.as_they_are
    """Applied to references and hypotheses alike."""
    merge_hypotheses: bool = True
    """Whether adjacent equal words of a cleaned hypothesis become one."""

    def reference(self, glosses: Sequence[str]) -> Words:
        """A reference as it is scored."""
        return self.clean(glosses)

    def hypothesis(self, glosses: Sequence[str]) -> Words:
        """A hypothesis as it is scored."""
        cleaned = self.clean(glosses)
        return cleanup.merge_neighbours(cleaned) if self.merge_hypotheses else cleaned


PLAIN = ScoringRule(name="plain", about="glosses as they are", alignment="unit", merge_hypotheses=False)

RULES = {
    rule.name: rule
    for rule in (
        PLAIN,
        ScoringRule(
            name="phoenix2014",
            about="PHOENIX-2014's clean-up word by word; equal neighbours merged in hypotheses",
            clean=cleanup.phoenix2014,
        ),
        ScoringRule(
            name="phoenix2014-sentence",
            about="PHOENIX-2014's clean-up on sentences; equal neighbours merged in references, too",
            clean=cleanup.phoenix2014_sentence,
        ),
        ScoringRule(
            name="phoenix2014t",
            about="PHOENIX-2014T's clean-up on sentences; equal neighbours merged in references, too",
            clean=cleanup.phoenix2014t,
        ),
        ScoringRule(name="csl-daily", about="glosses as they are; equal neighbours merged in hypotheses"),
    )
}
"""Every convention by its name."""


def rule_named(name: str) -> ScoringRule:
    """The rule of that name.

    Raises:
        BadInputError: there is none.
    """
    if name not in RULES:
        raise BadInputError(f"unknown scoring {name!r}", hint=f"known: {', '.join(RULES)}")
    return RULES[name]
