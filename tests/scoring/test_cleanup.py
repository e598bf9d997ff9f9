"""The clean-up rules of the corpora's evaluation scripts, one by one."""

import pytest

from slrbench.errors import BadInputError
from slrbench.scoring import RULES, rule_named


def cleaned(name, sentence):
    return " ".join(rule_named(name).reference(sentence.split()))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("loc-NORD", "NORD"),
        ("cl-KOMMEN", "KOMMEN"),
        ("qu-WAS", "WAS"),
        ("poss-MEIN", "MEIN"),
        ("lh-REGEN", "REGEN"),
        ("loc-cl-REGION", "REGION"),
        ("S0NNE", "SONNE"),
        ("HABEN2", "HABEN"),
        ("ZEIGEN", "ZEIGEN-BILDSCHIRM"),
        ("ZEIGEN-BILDSCHIRM", "ZEIGEN-BILDSCHIRM"),
        ("MORGENRAUM", "MORGEN"),
        ("RAUM", "RAUM"),
        ("WOLKE-PLUSPLUS", "WOLKE"),
        ("__EMOTION__ REGEN __PU__", "REGEN"),
        ("__LEFTHAND__ REGEN", "REGEN"),
        ("__EPENTHESIS__ REGEN", "REGEN"),
        ("__ON__ REGEN __OFF__", "__ON__ REGEN __OFF__"),
        ("IN-KOMMEND", "IN-KOMMEND"),
    ],
)
@pytest.mark.parametrize("name", ["phoenix2014", "phoenix2014-sentence"])
def test_phoenix2014_cleans_each_word(name, raw, expected):
    assert cleaned(name, f"WETTER {raw} ABER") == f"WETTER {expected} ABER"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("WIE AUSSEHEN", "WIE-AUSSEHEN"),
        ("JETZT A B JETZT", "JETZT A+B JETZT"),
        ("A B JETZT", "A+B JETZT"),
        ("JETZT A B", "JETZT A+B"),
        ("JETZT A B C JETZT", "JETZT A+B+C JETZT"),
        ("JETZT A SCH A JETZT", "JETZT A SCH+A JETZT"),
        ("JETZT A NN A JETZT", "JETZT A+NN+A JETZT"),
        ("REGEN REGEN REGEN", "REGEN"),
        ("IN-KOMMEND IN-KOMMEND", "IN-KOMMEND"),
        ("REGEN __EMOTION__ REGEN", "REGEN"),
        ("REGEN loc-REGEN", "REGEN"),
        # What the scripts miss stays missed.
        ("A B C D", "A B+C+D"),
        ("JETZT A __PU__ B JETZT", "JETZT A B JETZT"),
    ],
)
def test_rules_about_neighbours_apply_to_sentences_only(raw, sentence):
    assert cleaned("phoenix2014-sentence", raw) == sentence
    alone = [word.removeprefix("loc-") for word in raw.split() if not word.startswith("__")]
    assert cleaned("phoenix2014", raw) == " ".join(alone)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("__ON__ REGEN __OFF__", "REGEN"),
        ("__EMOTION__ REGEN __PU__", "REGEN"),
        ("loc-NORD cl-KOMMEN", "NORD KOMMEN"),
        ("poss-MEIN qu-WAS lh-REGEN", "poss-MEIN qu-WAS lh-REGEN"),
        ("S0NNE HABEN2 ZEIGEN", "S0NNE HABEN2 ZEIGEN"),
        ("WOLKE-PLUSPLUS", "WOLKE"),
        ("MORGENRAUM", "MORGEN"),
        ("WIE AUSSEHEN", "WIE-AUSSEHEN"),
        ("JETZT A B C", "JETZT A+B+C"),
        ("REGEN REGEN", "REGEN"),
    ],
)
def test_phoenix2014t_has_rules_of_its_own(raw, expected):
    assert cleaned("phoenix2014t", raw) == expected


@pytest.mark.parametrize("name", ["plain", "csl-daily"])
def test_without_a_clean_up_glosses_stay_as_they_are(name):
    glosses = ("loc-A", "THANK YOU", "A", "A", "__ON__")
    assert rule_named(name).reference(glosses) == glosses


@pytest.mark.parametrize(
    ("name", "merged_in_hypotheses", "merged_in_references"),
    [
        ("plain", False, False),
        ("phoenix2014", True, False),
        ("phoenix2014-sentence", True, True),
        ("phoenix2014t", True, True),
        ("csl-daily", True, False),
    ],
)
def test_repeats_are_merged_where_the_convention_merges_them(name, merged_in_hypotheses, merged_in_references):
    rule = rule_named(name)
    assert (rule.hypothesis(("REGEN", "REGEN", "WIND", "REGEN")) == ("REGEN", "WIND", "REGEN")) == merged_in_hypotheses
    assert (rule.reference(("REGEN", "REGEN", "WIND", "REGEN")) == ("REGEN", "WIND", "REGEN")) == merged_in_references


def test_a_hypothesis_is_merged_after_its_clean_up():
    assert rule_named("phoenix2014").hypothesis(("loc-NORD", "__EMOTION__", "NORD")) == ("NORD",)


def test_an_unknown_scoring_is_refused_with_those_that_there_are():
    with pytest.raises(BadInputError, match="unknown scoring 'phoenix'") as caught:
        rule_named("phoenix")
    assert all(name in caught.value.hint for name in RULES)
