"""Corpora of files: counts equal those of the tree, and every known trap of the releases."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slrbench.data import open_corpus
from slrbench.data.corpus import Corpus
from slrbench.data.indexed import IndexedCorpus
from slrbench.data.phoenix2014 import BROKEN
from slrbench.data.sources import FrameFiles
from slrbench.errors import BadInputError, UnreadableClipError
from tests.corpus_trees import (
    FORGOTTEN,
    Tree,
    write_csl_daily,
    write_manifest,
    write_phoenix2014,
    write_phoenix2014t,
)

SMALL = "size=32,resize=36"
WRITERS = {
    "phoenix2014": write_phoenix2014,
    "phoenix2014t": write_phoenix2014t,
    "csl-daily": write_csl_daily,
    "manifest": write_manifest,
}


def opened(kind: str, path: Path, options: str = SMALL) -> IndexedCorpus:
    corpus: Corpus = open_corpus(f"{kind}:{path},{options}" if options else f"{kind}:{path}")
    assert isinstance(corpus, IndexedCorpus)
    return corpus


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tree]:
    """One tree of each kind, that no test may change."""
    return {kind: write(tmp_path_factory.mktemp(kind)) for kind, write in WRITERS.items()}


@pytest.mark.parametrize("kind", WRITERS)
def test_clips_glosses_frames_and_vocabulary_are_those_of_the_tree(kind: str, trees: dict[str, Tree]) -> None:
    tree = trees[kind]
    corpus = opened(kind, tree.path)
    assert corpus.split_names == ("train", "dev", "test")
    assert corpus.left_out == []
    for name in corpus.split_names:
        split = corpus.split(name)
        assert len(split) == tree.clips(name)
        for index in range(len(split)):
            clip = split[index]
            expected = tree.glosses[name][clip.clip_id]
            assert clip.glosses == expected
            known = tuple(gloss for gloss in expected if gloss in corpus.vocabulary.glosses)
            assert corpus.vocabulary.decode(clip.labels) == known
            assert split.label_length(index) == len(expected)
            assert split.frame_count(index) == len(clip.frames) == tree.frames[clip.clip_id]
            assert clip.frames.shape[1:] == (32, 32, 3)
            assert clip.frames.dtype == np.uint8
    assert set(corpus.vocabulary.glosses) == {g for said in tree.glosses["train"].values() for g in said}
    assert corpus.vocabulary.glosses == tuple(sorted(corpus.vocabulary.glosses))
    with pytest.raises(IndexError):
        corpus.split("dev")[len(corpus.split("dev"))]
    with pytest.raises(BadInputError, match="unknown split 'holidays'"):
        corpus.split("holidays")


@pytest.mark.parametrize("kind", WRITERS)
def test_the_spec_opens_the_same_clips_again_and_the_fingerprint_says_so(kind: str, trees: dict[str, Tree]) -> None:
    corpus = opened(kind, trees[kind].path)
    again = open_corpus(corpus.spec)
    assert (again.spec, again.fingerprint()) == (corpus.spec, corpus.fingerprint())
    assert open_corpus(f"{kind}:{trees[kind].path},size=40").fingerprint() != corpus.fingerprint()


def test_the_fingerprint_follows_files_and_rows_and_not_the_place(trees: dict[str, Tree], tmp_path: Path) -> None:
    before = opened("phoenix2014", trees["phoenix2014"].path).fingerprint()
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "elsewhere"))
    assert opened("phoenix2014", copy).fingerprint() == before
    table = next(copy.rglob("dev.corpus.csv"))
    table.write_text(table.read_text().replace("Signer01", "Signer09"))
    changed = opened("phoenix2014", copy).fingerprint()
    assert changed != before
    next(copy.rglob("*fn000000-0.png")).write_bytes(b"another size")
    assert opened("phoenix2014", copy).fingerprint() not in (before, changed)


def test_frames_are_squashed_whole_and_cropped_in_the_middle(trees: dict[str, Tree]) -> None:
    whole = opened("phoenix2014", trees["phoenix2014"].path, "size=40,resize=40").split("dev")[0]
    middle = opened("phoenix2014", trees["phoenix2014"].path, "size=32,resize=40").split("dev")[0]
    assert np.array_equal(whole.frames[:, 4:36, 4:36], middle.frames)
    path = next(p for p in sorted(trees["phoenix2014"].folders[whole.clip_id].iterdir()))
    first = Image.open(path).convert("RGB").resize((40, 40), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(first).astype(int) - whole.frames[0]).max() <= 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", (224, 256)), ("size=112", (112, 128)), ("resize=128", (112, 128)), ("size=32,resize=40", (32, 40))],
)
def test_size_and_resize_follow_each_other(options: str, expected: tuple[int, int], trees: dict[str, Tree]) -> None:
    corpus = opened("phoenix2014", trees["phoenix2014"].path, options)
    assert (corpus.size, corpus.resize) == expected
    assert corpus.frame_size == (expected[0], expected[0])


def test_training_epochs_vary_and_are_the_same_for_the_same_seed(trees: dict[str, Tree]) -> None:
    corpus = opened("phoenix2014", trees["phoenix2014"].path)
    one, same = corpus.training_epoch(3, seed=1), corpus.training_epoch(3, seed=1)
    others = corpus.training_epoch(4, seed=1), corpus.training_epoch(3, seed=2)
    assert all(np.array_equal(one[i].frames, same[i].frames) for i in range(len(one)))
    for other in others:
        assert len(other) == len(corpus.split("train"))
        assert any(one[i].frames.shape != other[i].frames.shape or (one[i].frames != other[i].frames).any()
                   for i in range(len(one)))  # fmt: skip
    assert {one[i].clip_id for i in range(len(one))} == set(trees["phoenix2014"].glosses["train"])
    plain = opened("phoenix2014", trees["phoenix2014"].path, f"{SMALL},augment=no").training_epoch(0, seed=0)
    assert np.array_equal(plain[0].frames, corpus.split("train")[0].frames)


# ---- known traps of the releases


def test_phoenix2014t_has_no_folder_1_although_its_annotations_say_so(trees: dict[str, Tree]) -> None:
    tree = trees["phoenix2014t"]
    table = next(tree.path.rglob("*.train.corpus.csv"))
    assert "/1/*.png" in table.read_text(encoding="utf-8")
    assert not list(tree.path.rglob("1"))
    assert opened("phoenix2014t", tree.path).left_out == []


def test_phoenix2014_with_or_without_folder_1(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    for one in list(copy.rglob("1")):
        for picture in one.iterdir():
            picture.rename(one.parent / picture.name)
        one.rmdir()
    assert opened("phoenix2014", copy).left_out == []


def test_the_broken_training_clip_of_phoenix2014_is_left_out_by_its_name(tmp_path: Path) -> None:
    tree = write_phoenix2014(tmp_path)
    table = next(tree.path.rglob("train.corpus.csv"))
    table.write_text(table.read_text().replace("02April_2010_Thursday_heute_default-1", BROKEN))
    shutil.copytree(
        tree.folders["02April_2010_Thursday_heute_default-1"].parent,
        tree.folders["02April_2010_Thursday_heute_default-1"].parent.parent / BROKEN,
    )
    corpus = opened("phoenix2014", tree.path)
    assert len(corpus.split("train")) == tree.clips("train") - 1
    (left_out,) = corpus.left_out
    assert (left_out.clip_id, left_out.split) == (BROKEN, "train")
    assert "broken" in left_out.reason


def test_row_2390_of_another_table_is_kept(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    table = next(copy.rglob("train.corpus.csv"))
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *(rows[n % len(rows)] for n in range(2400))]) + "\n")
    assert len(opened("phoenix2014", copy).split("train")) == 2400


def test_glosses_are_kept_as_they_are_written(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    table = next(copy.rglob("train.corpus.csv"))
    header, first, *rows = table.read_text().splitlines()
    glosses = ("__ON__", "loc-NORD", "loc-NORD", "cl-WOLKE", '"JA"', "REGEN-PLUSPLUS", "__EMOTION__", "__OFF__")
    clip_id, folder, signer, _ = first.split("|")
    table.write_text("\n".join([header, f"{clip_id}|{folder}|{signer}|{'  '.join(glosses)} ", *rows]) + "\n")
    corpus = opened("phoenix2014", copy)
    clip = corpus.split("train")[0]
    assert clip.glosses == glosses
    assert corpus.vocabulary.decode(clip.labels) == glosses
    assert clip.labels[1] == clip.labels[2]


def test_quotes_and_commas_in_a_translation_end_no_field(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014t"].path, tmp_path / "copy"))
    table = next(copy.rglob("*.dev.corpus.csv"))
    table.write_text(table.read_text(encoding="utf-8").replace("und ", '" und ', 1), encoding="utf-8")
    assert len(opened("phoenix2014t", copy).split("dev")) == trees["phoenix2014t"].clips("dev")


@pytest.mark.parametrize(
    ("kind", "first"),
    [("phoenix2014", "fn000000-0.png"), ("phoenix2014t", "images0001.png"), ("csl-daily", "000000.jpg")],
)
def test_frames_are_numbered_from_0_or_1_and_sorted_by_number(kind: str, first: str, trees: dict[str, Tree]) -> None:
    for clip in opened(kind, trees[kind].path).clips("train"):
        assert isinstance(clip.source, FrameFiles)
        names = [path.name for path in clip.source.paths]
        assert names[0].endswith(first)
        assert names == sorted(names)


def test_numbers_without_leading_zeros_are_sorted_as_numbers(trees: dict[str, Tree]) -> None:
    tree = trees["manifest"]
    clip = next(c for c in opened("manifest", tree.path).clips("train") if isinstance(c.source, FrameFiles))
    assert isinstance(clip.source, FrameFiles)
    assert [int(path.stem) for path in clip.source.paths] == list(range(1, tree.frames[clip.clip_id] + 1))


def test_what_is_no_picture_is_no_frame(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    folder = next(copy.rglob("dev/*/1"))
    for name in ("Thumbs.db", ".DS_Store", "._x.png", "notes.txt"):
        (folder / name).write_bytes(b"x")
    corpus = opened("phoenix2014", copy)
    for index in range(3):
        clip = corpus.split("dev")[index]
        assert len(clip.frames) == trees["phoenix2014"].frames[clip.clip_id]


def test_the_signer_independent_partition(tmp_path: Path) -> None:
    tree = write_phoenix2014(tmp_path, si5=True)
    corpus = opened("phoenix2014", tree.path, f"{SMALL},subset=si5")
    assert {clip.signer for clip in corpus.clips("train")} == {"Signer01"}
    assert {clip.signer for name in ("dev", "test") for clip in corpus.clips(name)} == {"Signer05"}
    assert {name: len(corpus.split(name)) for name in corpus.split_names} == {"train": 6, "dev": 3, "test": 3}
    with pytest.raises(BadInputError, match="is not this corpus"):
        opened("phoenix2014", tree.path)  # the multi-signer partition is not there


def test_the_signer_independent_partition_finds_frames_of_the_other(tmp_path: Path) -> None:
    tree = write_phoenix2014(tmp_path)
    manual = tree.path / "phoenix-2014-signerindependent-SI5" / "annotations" / "manual"
    manual.mkdir(parents=True)
    other = tree.path / "phoenix-2014-multisigner" / "annotations" / "manual"
    for split, source in (("train", "test"), ("dev", "dev"), ("test", "train")):  # the same clips, divided anew
        shutil.copy(other / f"{source}.corpus.csv", manual / f"{split}.SI5.corpus.csv")
    corpus = opened("phoenix2014", tree.path, f"{SMALL},subset=SI5")
    assert {name: len(corpus.split(name)) for name in corpus.split_names} == {"train": 3, "dev": 3, "test": 6}
    assert corpus.left_out == []


def test_csl_daily_puts_the_forgotten_clip_into_train_and_says_so(trees: dict[str, Tree]) -> None:
    corpus = opened("csl-daily", trees["csl-daily"].path)
    assert FORGOTTEN in {clip.clip_id for clip in corpus.clips("train")}
    assert any(FORGOTTEN in note and "train" in note for note in corpus.index.notes)
    assert {clip.signer for clip in corpus.clips("train")} == {"P0000", "P0001", "P0002", "P0003", "P0004"}


def test_csl_daily_labels_of_the_pickle_are_the_same(trees: dict[str, Tree], tmp_path: Path) -> None:
    table = opened("csl-daily", trees["csl-daily"].path)
    pickled = opened("csl-daily", trees["csl-daily"].path, f"{SMALL},labels=csl2020ct_v2.pkl")
    assert pickled.clips("dev") == table.clips("dev")
    assert "csl2020ct_v2.pkl" in pickled.index.notes[0]
    copy = Path(shutil.copytree(trees["csl-daily"].path, tmp_path / "copy"))
    (copy / "sentence_label" / "video_map.txt").unlink()
    assert [c.glosses for c in opened("csl-daily", copy).clips("test")] == [c.glosses for c in table.clips("test")]


def test_a_pickle_that_would_run_code_is_refused(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["csl-daily"].path, tmp_path / "copy"))
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (ran,)

    path = copy / "sentence_label" / "csl2020ct_v2.pkl"
    path.write_bytes(pickle.dumps({"info": [Harmful()]}))
    with pytest.raises(BadInputError, match="labels are plain data"):
        opened("csl-daily", copy, f"{SMALL},labels=csl2020ct_v2.pkl")
    assert not ran.exists()
    path.write_bytes(b"\x80\x04broken")
    with pytest.raises(BadInputError, match="does not hold the labels of CSL-Daily"):
        opened("csl-daily", copy, f"{SMALL},labels=csl2020ct_v2.pkl")


def test_csl_daily_names_that_are_in_one_file_only_are_named(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["csl-daily"].path, tmp_path / "copy"))
    split = copy / "sentence_label" / "split_1.txt"
    lines = split.read_text().splitlines()
    gone = lines.pop().split("|")[0]
    split.write_text("\n".join([*lines, "S999999_P0000_T00|dev"]) + "\n")
    reasons = {left.clip_id: left.reason for left in opened("csl-daily", copy).left_out}
    assert reasons == {"S999999_P0000_T00": "not in video_map.txt", gone: "in no split of split_1.txt"}


# ---- what is missing or broken


@pytest.mark.parametrize("kind", ["phoenix2014", "phoenix2014t", "csl-daily"])
def test_a_clip_without_frames_is_named_and_left_out(kind: str, trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees[kind].path, tmp_path / "copy"))
    gone, emptied = list(trees[kind].glosses["train"])[:2]
    for clip_id in (gone, emptied):
        shutil.rmtree(copy / trees[kind].folders[clip_id].relative_to(trees[kind].path))
    (copy / trees[kind].folders[emptied].relative_to(trees[kind].path)).mkdir()
    corpus = opened(kind, copy)
    assert len(corpus.split("train")) == trees[kind].clips("train") - 2
    assert [(left.clip_id, left.split) for left in corpus.left_out] == [(gone, "train"), (emptied, "train")]
    assert all("no frames in" in left.reason and left.clip_id in left.reason for left in corpus.left_out)
    assert corpus.fingerprint() != opened(kind, trees[kind].path).fingerprint()


def test_a_clip_without_glosses_is_named_and_left_out(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    table = next(copy.rglob("dev.corpus.csv"))
    header, first, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, first.rpartition("|")[0] + "|", *rows]) + "\n")
    (left_out,) = opened("phoenix2014", copy).left_out
    assert left_out.reason == "no glosses"


def test_a_broken_frame_is_an_error_that_names_clip_and_file(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    corpus = opened("phoenix2014", copy)
    clip = corpus.clips("dev")[0]
    assert isinstance(clip.source, FrameFiles)
    clip.source.paths[3].write_bytes(clip.source.paths[3].read_bytes()[:50])
    with pytest.raises(UnreadableClipError) as caught:
        corpus.split("dev")[0]
    assert caught.value.clip_id == clip.clip_id
    assert str(clip.source.paths[3]) in caught.value.reason


def test_a_corpus_without_a_usable_clip_is_an_error(trees: dict[str, Tree], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014t"].path, tmp_path / "copy"))
    shutil.rmtree(next(copy.rglob("features")))
    with pytest.raises(BadInputError, match=r"no clip that can be used .12 were left out, for example .*no frames in"):
        opened("phoenix2014t", copy)


@pytest.mark.parametrize("kind", ["phoenix2014", "phoenix2014t", "csl-daily"])
def test_a_wrong_or_missing_folder_says_what_is_expected_and_what_is_there(
    kind: str, trees: dict[str, Tree], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="there is no folder") as caught:
        opened(kind, tmp_path / "nowhere")
    assert caught.value.hint
    assert "expected" in caught.value.hint
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"is not this corpus: it holds holiday\.jpg"):
        opened(kind, tmp_path)
    other = "phoenix2014t" if kind != "phoenix2014t" else "phoenix2014"
    with pytest.raises(BadInputError, match="is not this corpus"):
        opened(kind, trees[other].path)


def test_the_folder_above_and_the_folder_below_are_found_too(trees: dict[str, Tree]) -> None:
    for kind, inside in (
        ("phoenix2014", "phoenix-2014-multisigner"),
        ("phoenix2014t", "PHOENIX-2014-T"),
        ("csl-daily", ""),
    ):
        path = trees[kind].path
        expected = opened(kind, path).fingerprint()
        assert opened(kind, path.parent).fingerprint() == expected
        assert opened(kind, path / inside).fingerprint() == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("|", ","), "its first line has no column id, folder, signer, annotation"),
        (lambda text: text.replace("|Signer02|", "|"), "line 3 of .*dev.corpus.csv has 3 fields, its header 4"),
        (lambda text: "", "its first line has no column"),
        (None, "there is no file .*dev.corpus.csv, which should be the annotations of dev"),
        (b"id|folder|signer|annotation\n\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_wrong_annotation_file_is_an_error(
    change: object, words: str, trees: dict[str, Tree], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(trees["phoenix2014"].path, tmp_path / "copy"))
    table = next(copy.rglob("dev.corpus.csv"))
    if change is None:
        table.unlink()
    elif isinstance(change, bytes):
        table.write_bytes(change)
    else:
        assert callable(change)
        table.write_text(change(table.read_text()))
    with pytest.raises(BadInputError, match=words):
        opened("phoenix2014", copy)


# ---- manifests


def test_jsonl_and_csv_say_the_same(trees: dict[str, Tree], tmp_path: Path) -> None:
    tree = write_manifest(tmp_path, jsonl=True)
    one, other = opened("manifest", tree.path), opened("manifest", trees["manifest"].path)
    for name in one.split_names:
        assert [(c.clip_id, c.glosses, c.signer) for c in one.clips(name)] == [
            (c.clip_id, c.glosses, c.signer) for c in other.clips(name)
        ]


def test_a_gloss_may_contain_spaces_in_jsonl(trees: dict[str, Tree], tmp_path: Path) -> None:
    path = trees["manifest"].path.parent / "spaces.jsonl"
    rows = [
        {"path": "train/1", "glosses": ["GUTEN TAG", "JA"], "split": "train"},
        {"path": "dev/1", "glosses": "GUTEN TAG", "split": "dev"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    try:
        corpus = opened("manifest", path)
        assert corpus.split("train")[0].glosses == ("GUTEN TAG", "JA")
        assert corpus.split("train")[0].signer == "unknown"
        assert corpus.split("dev")[0].glosses == ("GUTEN", "TAG")
        assert corpus.out_of_vocabulary("dev") == {"GUTEN": 1, "TAG": 1}
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "is no manifest"),
        ("a.csv", "file,words\nx,y\n", "is no manifest: its first line is 'file,words'"),
        ("a.csv", "path,glosses,split\n", "names no clip"),
        ("a.csv", "path,glosses,split\nx,A B,train,extra\n", "line 2 of .* has 4 fields, its header 3"),
        ("a.csv", "path,glosses,split\nx,A B,\n", "line 2 of .* has no split"),
        ("a.csv", "path,glosses,split\nx,A B,train\n", "no clip that can be used .1 were left out, for example x"),
        ("a.csv", 'path,split,glosses\nx,train,"A B\ny,train,C\nz,dev,D\n', "cannot be read as CSV up to line 5"),
        (
            "a.csv",
            '"path","glosses","split"\nx,A B,train\n',
            "no clip that can be used .1 were left out, for example x",
        ),
        ("a.jsonl", "{}\n", "line 1 of .* has no path, glosses, split"),
        ("a.jsonl", "[1, 2]\n", "line 1 of .* has no path"),
        ("a.jsonl", '{"path": "x"', "line 1 of .* is not JSON"),
    ],
)
def test_a_wrong_manifest_is_an_error(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInputError, match=words) as caught:
        opened("manifest", tmp_path / name)
    assert caught.value.hint


def test_a_missing_manifest_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there is no file"):
        opened("manifest", tmp_path / "none.csv")
    with pytest.raises(BadInputError, match="is a folder"):
        opened("manifest", tmp_path)


def test_other_separators_and_a_clip_in_two_splits_are_seen(trees: dict[str, Tree]) -> None:
    folder = trees["manifest"].path.parent
    path = folder / "pipes.csv"
    path.write_text("signer|split|glosses|path\nme|train|A B|train/1\nme|dev|A|dev/1\nme|dev|B|train/1\n")
    try:
        corpus = opened("manifest", path)
        assert corpus.split("train")[0].glosses == ("A", "B")
        assert corpus.index.notes == ["1 clips are in more than one split, the first of them train/1"]
        assert len(corpus.split("test")) == 0
    finally:
        path.unlink()
