"""``--data KIND:PATH,option=value``: which part is the path, and what is refused."""

from pathlib import Path

import pytest

from slrbench.data import open_corpus, parse_spec
from slrbench.data.options import with_option
from slrbench.errors import BadInputError
from tests.corpus_trees import write_phoenix2014t


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phoenix2014:/data/p", {"path": "/data/p"}),
        ("phoenix2014:/data/p,subset=si5,size=112", {"path": "/data/p", "subset": "si5", "size": "112"}),
        ("manifest:a,b/c=d.csv", {"path": "a,b/c=d.csv"}),
        ("manifest:a,b.csv,size=32", {"path": "a,b.csv", "size": "32"}),
        ("manifest:/x,size=3/clips.csv", {"path": "/x,size=3/clips.csv"}),
        ("csl-daily:/x,size=3/,size=32", {"path": "/x,size=3/", "size": "32"}),
        ("csl-daily:/x,labels=csl2020ct_v1.pkl", {"path": "/x", "labels": "csl2020ct_v1.pkl"}),
        (r"phoenix2014t:C:\data\p,size=32", {"path": r"C:\data\p", "size": "32"}),
        ("phoenix2014t: with space/p , size = 32", {"path": "with space/p", "size": "32"}),
    ],
)
def test_options_are_read_from_the_end(text: str, expected: dict[str, str]) -> None:
    assert parse_spec(text) == (text.partition(":")[0], expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("phoenix:/data", "unknown corpus 'phoenix'"),
        ("phoenix2014", "names no path"),
        ("phoenix2014:", "names no path"),
        ("phoenix2014:size=32", "names no path"),
        ("phoenix2014:/data,sise=32", "unknown option 'sise' of corpus phoenix2014"),
        ("phoenix2014t:/data,subset=si5", "unknown option 'subset' of corpus phoenix2014t"),
        ("phoenix2014:/data,size=", "option 'size' in .* has no value"),
        ("phoenix2014:/data,size=32,size=48", "option 'size' is given twice"),
        ("fingerspelling:size", "'size' in 'fingerspelling:size' is not option=value"),
    ],
)
def test_what_is_no_specification_is_bad_input(text: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        parse_spec(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("size=12", "size='12' is not an integer in 24..1024"),
        ("size=64,resize=48", "size=64 is more than resize=48"),
        ("flip=maybe", "flip='maybe' is neither yes nor no"),
        ("tempo=2", "tempo='2' is not a number in 0..1"),
        ("colour=red", "colour='red' is not a number in 0..1"),
    ],
)
def test_values_out_of_range_are_bad_input(options: str, words: str, tmp_path: Path) -> None:
    tree = write_phoenix2014t(tmp_path, train=1, dev=1, test=1)
    with pytest.raises(BadInputError, match=words):
        open_corpus(f"phoenix2014t:{tree.path},{options}")


def test_an_unknown_subset_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="subset=si4 is unknown") as caught:
        open_corpus(f"phoenix2014:{tmp_path},subset=si4")
    assert caught.value.hint == "subset=multisigner or si5"


def test_a_path_that_looks_like_an_option_is_opened_with_a_slash(tmp_path: Path) -> None:
    tree = write_phoenix2014t(tmp_path / "a,size=3", train=1, dev=1, test=1)
    assert len(open_corpus(f"phoenix2014t:{tree.path.parent}/,size=32").split("train")) == 1
    assert len(open_corpus(f"phoenix2014t:{tree.path},size=32").split("train")) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fingerspelling", "fingerspelling:size=32"),
        ("fingerspelling:letters=10,size=48", "fingerspelling:letters=10,size=32"),
        ("phoenix2014:/a,b/c,subset=si5,size=48", "phoenix2014:/a,b/c,subset=si5,size=32"),
        ("manifest:/a,size=7/b.csv", "manifest:/a,size=7/b.csv,size=32"),
    ],
)
def test_one_option_can_be_replaced(text: str, expected: str) -> None:
    assert with_option(text, "size", "32") == expected
