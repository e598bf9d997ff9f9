"""Counting errors: alignment at unit and at sclite's costs, and what cannot be scored."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.errors import BadInputError
from slrbench.scoring import RULES, alignment_named, count_errors, rule_named, score

GLOSSES = ("A", "B", "THANK YOU")
words = st.lists(st.sampled_from(GLOSSES), max_size=6)
references = st.lists(st.sampled_from(GLOSSES), min_size=1, max_size=6)
pairs = st.lists(st.tuples(references, words), min_size=1, max_size=4)


def counted(reference, hypothesis, alignment="unit"):
    counts = score(references=[reference], hypotheses=[hypothesis], alignment=alignment).counts
    return counts.substitutions, counts.deletions, counts.insertions


def every_alignment(reference, hypothesis):
    """Substitutions, deletions and insertions of every alignment there is."""

    @cache
    def of(i, j):
        found = {(0, 0, 0)} if i == j == 0 else set()
        if i and j:
            wrong = reference[i - 1] != hypothesis[j - 1]
            found |= {(s + wrong, d, n) for s, d, n in of(i - 1, j - 1)}
        if i:
            found |= {(s, d + 1, n) for s, d, n in of(i - 1, j)}
        if j:
            found |= {(s, d, n + 1) for s, d, n in of(i, j - 1)}
        return found

    return of(len(reference), len(hypothesis))


@settings(deadline=None)
@given(pairs)
def test_each_alignment_is_the_cheapest_at_its_costs(clips):
    for reference, hypothesis in clips:
        everything = every_alignment(tuple(reference), tuple(hypothesis))
        unit, weighted = counted(reference, hypothesis), counted(reference, hypothesis, "sclite")
        assert {unit, weighted} <= everything
        assert sum(unit) == min(map(sum, everything))
        assert 4 * weighted[0] + 3 * sum(weighted[1:]) == min(4 * s + 3 * (d + n) for s, d, n in everything)
        assert sum(weighted) >= sum(unit)


@settings(deadline=None)
@given(pairs, st.sampled_from(["unit", "sclite"]))
def test_clips_are_added_up(clips, alignment):
    found = score(references=[r for r, _ in clips], hypotheses=[h for _, h in clips], alignment=alignment)
    each = [counted(r, h, alignment) for r, h in clips]
    assert found.clip_errors == tuple(map(sum, each))
    counts = found.counts
    assert (counts.substitutions, counts.deletions, counts.insertions) == tuple(map(sum, zip(*each, strict=True)))
    assert counts.reference_words == sum(len(r) for r, _ in clips)
    assert counts.deletions - counts.insertions == sum(len(r) - len(h) for r, h in clips)


@given(pairs)
def test_the_rate_is_zero_just_where_all_are_equal(clips):
    counts = count_errors(references=[r for r, _ in clips], hypotheses=[h for _, h in clips])
    assert (counts.wer == 0) == all(r == h for r, h in clips)


@pytest.mark.parametrize("alignment", ["unit", "sclite"])
def test_a_gloss_with_a_space_is_one_word(alignment):
    assert counted(["THANK YOU", "A"], ["A"], alignment) == (0, 1, 0)
    # Word by word, "A B" would be read as the two glosses that it is made of.
    assert sum(counted(["A B"], ["A", "B"], alignment)) > 0


@pytest.mark.parametrize("alignment", ["unit", "sclite"])
def test_an_empty_hypothesis_is_all_deletions_and_a_rate_may_exceed_one(alignment):
    assert counted(["A", "B"], [], alignment) == (0, 2, 0)
    assert counted(["A"], ["B", "A", "B"], alignment) == (0, 0, 2)


def test_the_costs_of_sclite_count_more_errors_where_that_aligns_more_words():
    reference, hypothesis = list("XABCD"), list("ABCDY")
    assert counted(reference, hypothesis) == counted(reference, hypothesis, "sclite") == (0, 1, 1)
    reference, hypothesis = list("ABC"), list("CXY")
    assert sum(counted(reference, hypothesis)) == 3  # three substitutions
    assert counted(reference, hypothesis, "sclite") == (3, 0, 0)  # cost 12, as the other: a tie
    reference, hypothesis = list("ABCD"), list("DXYZ")
    assert counted(reference, hypothesis) == (4, 0, 0)
    assert counted(reference, hypothesis, "sclite") == (4, 0, 0)
    reference, hypothesis = list("ABCDE"), list("DEXYZ")
    assert counted(reference, hypothesis) == (5, 0, 0)
    assert counted(reference, hypothesis, "sclite") == (0, 3, 3)  # cost 18, not 20


def test_a_score_can_be_aligned_again():
    found = score(references=[list("ABCDE")], hypotheses=[list("DEXYZ")])
    again = found.aligned("sclite")
    assert (found.alignment, found.counts.wer, found.clip_errors) == ("unit", 1.0, (5,))
    assert (again.alignment, again.counts.wer, again.clip_errors) == ("sclite", 1.2, (6,))
    assert again.references == found.references


def test_the_convention_says_the_alignment_unless_another_is_asked_for():
    for name, expected in {"plain": "unit", "phoenix2014": "sclite", "csl-daily": "sclite"}.items():
        assert score(references=[["A"]], hypotheses=[["A"]], rule=rule_named(name)).alignment == expected
    assert (
        score(references=[["A"]], hypotheses=[["A"]], rule=RULES["phoenix2014"], alignment="unit").alignment == "unit"
    )


def test_references_and_hypotheses_are_cleaned_before_they_are_compared():
    found = score(
        references=[["NORD", "REGEN", "REGEN"]],
        hypotheses=[["loc-NORD", "REGEN", "__PU__", "REGEN"]],
        rule=rule_named("phoenix2014"),
    )
    assert (found.references, found.hypotheses) == ((("NORD", "REGEN", "REGEN"),), (("NORD", "REGEN"),))
    assert (found.counts.deletions, found.counts.wer) == (1, 1 / 3)


def test_the_two_standard_scorings_of_phoenix2014_differ_by_repeated_reference_words():
    references, hypotheses = [["REGEN", "REGEN", "NORD"]], [["REGEN", "NORD"]]
    by_word = score(references=references, hypotheses=hypotheses, rule=rule_named("phoenix2014"))
    by_sentence = score(references=references, hypotheses=hypotheses, rule=rule_named("phoenix2014-sentence"))
    assert (by_word.counts.wer, by_sentence.counts.wer) == (1 / 3, 0.0)


def test_a_word_that_the_network_cannot_say_is_an_error():
    counts = score(references=[["A", "SCHNEEFALL"]], hypotheses=[["A"]]).counts
    assert (counts.deletions, counts.reference_words) == (1, 2)


def test_the_order_of_arguments_cannot_be_mistaken():
    with pytest.raises(TypeError):
        count_errors([["A"]], [["A"]])
    with pytest.raises(TypeError):
        score([["A"]], [["A"]])


@pytest.mark.parametrize("alignment", ["unit", "sclite"])
def test_what_cannot_be_scored_raises_and_is_no_rate(alignment):
    with pytest.raises(ValueError, match="2 references do not go with 1"):
        score(references=[["A"], ["B"]], hypotheses=[["A"]], alignment=alignment)
    with pytest.raises(BadInputError, match="nothing to score"):
        score(references=[], hypotheses=[], alignment=alignment)
    with pytest.raises(BadInputError, match="reference of clip 1 is empty"):
        score(references=[["A"], []], hypotheses=[["A"], ["B"]], alignment=alignment)


def test_a_reference_that_is_cleaned_away_is_named():
    with pytest.raises(BadInputError, match="clip 0 is empty after the clean-up of phoenix2014") as caught:
        score(references=[["__EMOTION__"]], hypotheses=[[]], rule=rule_named("phoenix2014"))
    assert "--scoring plain" in caught.value.hint


def test_an_unknown_alignment_is_refused():
    assert alignment_named("sclite") == "sclite"
    with pytest.raises(BadInputError, match="unknown alignment 'levenshtein'"):
        alignment_named("levenshtein")
