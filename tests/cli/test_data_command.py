"""``slrbench data``: what a person checks first, in words, as JSON and as a picture."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from slrbench.cli.app import main
from tests.corpus_trees import Tree, write_csl_daily, write_phoenix2014

SIZES = "size=32,resize=36"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_phoenix2014(tmp_path_factory.mktemp("tree"), train=5, dev=3, test=2)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_counts_are_those_of_the_tree(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, f"phoenix2014:{tree.path},{SIZES}")
    assert found["scoring"] == "phoenix2014"
    assert (found["missing"], found["unreadable"]) == ([], [])
    for name, glosses in tree.glosses.items():
        figures = found["splits"][name]
        assert figures["clips"] == len(glosses)
        assert figures["frames"] == sum(tree.frames[clip] for clip in glosses)
        assert figures["glosses"] == sum(map(len, glosses.values()))
        lengths = sorted(map(len, glosses.values()))
        assert figures["glosses_min_median_max"][0::2] == [lengths[0], lengths[-1]]
        repeats = sum(a == b for said in glosses.values() for a, b in pairwise(said))
        assert figures["adjacent_repeats"] == repeats
    assert found["splits"]["train"]["signers"] == {f"Signer0{n}": 1 for n in range(1, 6)}


def test_it_speaks_of_glosses_and_not_of_letters(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"phoenix2014:{tree.path},{SIZES}")
    assert code == 0
    assert "Glosses" in out
    assert "letter" not in out.lower()
    known = {gloss for said in tree.glosses["train"].values() for gloss in said}
    assert f"{len(known)} glosses, of train only" in out
    assert f"next: python -m slrbench train-and-export --data phoenix2014:{tree.path},resize=36,size=32" in err


def test_fingerspelling_still_speaks_of_letters(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fingerspelling:letters=ABCELT,size=24")
    assert code == 0
    assert "Frames/letter" in out


def test_out_of_vocabulary_glosses_are_counted_and_named(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tree.path, tmp_path / "copy"))
    table = next(copy.rglob("dev.corpus.csv"))
    table.write_text(table.read_text().rstrip("\n") + " NEBEL NEBEL FROST\n")
    figures = document(capsys, f"phoenix2014:{copy},{SIZES}")["splits"]
    assert figures["dev"]["out_of_vocabulary"] == 3
    assert figures["dev"]["out_of_vocabulary_glosses"] == {"NEBEL": 2, "FROST": 1}
    assert figures["train"]["out_of_vocabulary"] == 0


def test_clips_that_ctc_cannot_align_are_counted_at_both_strides(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tree.path, tmp_path / "copy"))
    clip, folder = next((clip, tree.folders[clip]) for clip in tree.glosses["train"])
    frames = tree.frames[clip]
    table = next(copy.rglob("train.corpus.csv"))

    def count(glosses: list[str]) -> tuple[int, int]:
        header, first, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, f"{first.rpartition('|')[0]}|{' '.join(glosses)}", *rows]) + "\n")
        figures = document(capsys, f"phoenix2014:{copy},{SIZES}")["splits"]["train"]
        return figures["not_alignable_at_stride_4"], figures["not_alignable_at_stride_8"]

    assert folder.is_dir()
    at_4, at_8 = -(-frames // 4), -(-frames // 8)
    before = count(["REGEN"])
    alternating = ["REGEN", "MORGEN"] * frames
    assert count(alternating[: at_8 + 1]) == (before[0], before[1] + 1)
    assert count(alternating[:at_4]) == (before[0], before[1] + 1)
    assert count(alternating[: at_4 + 1]) == (before[0] + 1, before[1] + 1)
    assert count(["REGEN"] * at_4) == (before[0] + 1, before[1] + 1), "equal neighbours need a blank between them"


def test_left_out_and_unreadable_clips_are_named_ten_of_them_then_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_phoenix2014(tmp_path, train=14, dev=1, test=1)
    clips = list(made.glosses["train"])
    shutil.rmtree(made.folders[clips[0]])
    for clip in clips[1:13]:
        last = sorted(made.folders[clip].iterdir())[-1]
        last.write_bytes(last.read_bytes()[:60])
    spec = f"phoenix2014:{made.path},{SIZES}"
    code, out, _ = run(capsys, spec)
    assert code == 0
    words = " ".join(out.split())
    assert "1 clip is left out:" in words
    assert "12 clips are unreadable:" in words
    assert "and 2 more (--json names all)" in words
    assert all(clip in out for clip in clips[:11])
    found = document(capsys, spec)
    assert [clip["clip_id"] for clip in found["unreadable"]] == clips[1:13]
    assert [clip["clip_id"] for clip in found["missing"]] == clips[:1]
    assert found["splits"]["train"]["clips"] == 1
    assert (found["splits"]["train"]["missing"], found["splits"]["train"]["unreadable"]) == (1, 12)


def test_quick_decodes_the_beginning_only_and_says_so(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tree.path, tmp_path / "copy"))
    first, second = (sorted(folder.iterdir()) for folder in sorted(copy.rglob("train/*/1"))[:2])
    first[0].write_bytes(b"no picture")
    second[-1].write_bytes(second[-1].read_bytes()[:60])
    spec = f"phoenix2014:{copy},{SIZES}"
    assert len(document(capsys, spec)["unreadable"]) == 2
    assert len(document(capsys, spec, "--quick")["unreadable"]) == 1
    assert "what breaks later is not found" in " ".join(run(capsys, spec, "--quick")[1].split())


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_distributions_are_drawn(suffix: str, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"corpus.{suffix}"
    code, _, err = run(capsys, f"phoenix2014:{tree.path},{SIZES}", "--plot", path)
    assert code == 0
    assert f"wrote {path}" in err
    if suffix == "png":
        with Image.open(path) as picture:
            assert picture.size == (1320, 880)
    else:
        text = path.read_text()
        assert "Frames of a clip" in text or "<svg" in text


def test_chinese_glosses_are_drawn_without_a_font_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_csl_daily(tmp_path, train=3, dev=1, test=1)
    code, out, _ = run(capsys, f"csl-daily:{made.path},{SIZES}", "--plot", tmp_path / "corpus.png")
    assert code == 0
    assert "S000007_P0003_T00 is missing in split_1.txt and is put into train" in " ".join(out.split())


def test_fingerspelling_is_drawn_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "fingerspelling:letters=ABCELT,size=24", "--plot", tmp_path / "letters.png")[0] == 0
    assert (tmp_path / "letters.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("name", "words"), [("corpus.xls", "cannot draw into 'corpus.xls'"), ("none/corpus.png", "there is no folder")]
)
def test_a_picture_that_cannot_be_written_is_bad_input(
    name: str, words: str, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, f"phoenix2014:{tree.path},{SIZES}", "--plot", tmp_path / name)
    assert (code, out) == (2, "")
    assert words in err


def test_a_preview_of_a_corpus_of_files(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "sheet.png", tmp_path / "clips.mp4"]
    arguments = [part for path in paths for part in ("--preview", path)]
    assert run(capsys, f"phoenix2014:{tree.path},{SIZES}", *arguments, "--clips", "1")[0] == 0
    assert all(path.stat().st_size > 1000 for path in paths)


def test_a_wrong_folder_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"phoenix2014t:{tmp_path}")
    assert (code, out) == (2, "")
    assert "is not this corpus: it holds nothing" in err
    assert "hint: expected PHOENIX-2014-T-release-v3" in err
