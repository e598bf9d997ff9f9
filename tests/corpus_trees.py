"""Trees of each corpus's exact layout, rendered from the built-in recordings, so that training on them really learns.

Names, separators, headers, numbering of frames and the releases' known faults are as in the real corpora. What differs
is what the signers say, and how large the frames are.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from slrbench.data.fingerspelling import FingerspellingCorpus

GLOSS_OF = {"A": "__ON__", "B": "REGEN", "C": "loc-NORD", "E": "SONNE", "L": "MORGEN", "T": "WIND"}
"""Letters that are signed, and the glosses that the trees call them."""

LETTERS = "".join(GLOSS_OF)

CHINESE = {"A": "我", "B": "下雨", "C": "明天", "E": "太阳", "L": "北", "T": "风"}

MONTH = {"train": "April", "dev": "May", "test": "June"}

WIDTH, HEIGHT = 42, 52  # 210 x 260 divided by five


@dataclass(frozen=True)
class Signed:
    """A clip before it gets a place in a tree."""

    letters: tuple[str, ...]
    pictures: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Tree:
    """What was written: the folder or file for ``--data``, and what a loader must find in it."""

    path: Path
    glosses: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Split, then clip, to glosses."""
    frames: Mapping[str, int]
    """Clip to number of frames."""
    folders: Mapping[str, Path]
    """Clip to the folder that holds its frames, or its file."""

    def clips(self, split: str) -> int:
        return len(self.glosses[split])


@cache
def signed(
    split: str, count: int, *, width: int = WIDTH, height: int = HEIGHT, letters: str = LETTERS
) -> tuple[Signed, ...]:
    """Clips of a few of the ``letters``, the same for the same arguments; those of other splits differ."""
    corpus = FingerspellingCorpus(letters=tuple(GLOSS_OF), size=max(width, height), clips=10_000)
    clips = corpus.training_epoch(("train", "dev", "test").index(split), seed=7, difficulty=0.6)
    found: list[Signed] = []
    for index in range(len(clips)):
        if len(found) == count:
            break
        if set(clips.utterance(index).letters) <= set(letters):  # known before anything is drawn
            clip = clips[index]
            small = tuple(Image.fromarray(frame).resize((width, height)) for frame in clip.frames)
            found.append(Signed(clip.glosses, small))
    return tuple(found)


def write_frames(folder: Path, pictures: Sequence[Image.Image], name: str, first: int) -> None:
    """One file for each picture; ``name`` has a place for the number."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, start=first):
        picture.save(folder / name.format(number), **({"quality": 95} if name.endswith("jpg") else {}))


def write_phoenix2014(
    root: Path, *, train: int = 6, dev: int = 3, test: int = 3, si5: bool = False, letters: str = LETTERS
) -> Tree:
    """``phoenix2014-release`` under ``root``; with ``si5`` the signer-independent partition, with frames of its own."""
    release = root / "phoenix2014-release"
    part = release / ("phoenix-2014-signerindependent-SI5" if si5 else "phoenix-2014-multisigner")
    manual = part / "annotations" / "manual"
    manual.mkdir(parents=True)
    glosses: dict[str, dict[str, tuple[str, ...]]] = {}
    frames, folders = {}, {}
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        lines = ["id|folder|signer|annotation"]
        glosses[split] = {}
        for n, clip in enumerate(signed(split, count, letters=letters)):
            recording = f"{n + 1:02d}{MONTH[split]}_2010_Thursday_{'heute' if split == 'train' else 'tagesschau'}"
            name = f"{recording}_default-{n % 3}"
            said = tuple(GLOSS_OF[letter] for letter in clip.letters)
            folder = part / "features" / "fullFrame-210x260px" / split / name / "1"
            write_frames(folder, clip.pictures, recording + ".avi_pid0_fn{:06d}-0.png", 0)
            signer = ("Signer05" if split != "train" else "Signer01") if si5 else f"Signer{n % 9 + 1:02d}"
            lines.append(f"{name}|{name}/1/*.png|{signer}|{' '.join(said)}")
            glosses[split][name], frames[name], folders[name] = said, len(clip.pictures), folder
        suffix = "SI5.corpus.csv" if si5 else "corpus.csv"
        (manual / f"{split}.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Tree(release, glosses, frames, folders)


def write_phoenix2014t(root: Path, *, train: int = 6, dev: int = 3, test: int = 3) -> Tree:
    """``PHOENIX-2014-T-release-v3`` under ``root``: annotations say ``<name>/1/*.png``, and there is no folder 1."""
    release = root / "PHOENIX-2014-T-release-v3"
    inner = release / "PHOENIX-2014-T"
    manual = inner / "annotations" / "manual"
    manual.mkdir(parents=True)
    glosses: dict[str, dict[str, tuple[str, ...]]] = {}
    frames, folders = {}, {}
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        lines = ["name|video|start|end|speaker|orth|translation"]
        glosses[split] = {}
        for n, clip in enumerate(signed(split, count)):
            name = f"{n + 1:02d}{MONTH[split]}_2010_Wednesday_{'heute' if split == 'train' else 'tagesschau'}-{n + 1}"
            said = tuple(GLOSS_OF[letter] for letter in clip.letters)
            folder = inner / "features" / "fullFrame-210x260px" / split / name
            write_frames(folder, clip.pictures, "images{:04d}.png", 1)
            orth = " ".join(said)
            lines.append(
                f'{name}|{name}/1/*.png|-1|-1|Signer{n % 3 + 1:02d}|{orth}|und "morgen" wird es schön , im norden'
            )
            glosses[split][name], frames[name], folders[name] = said, len(clip.pictures), folder
        path = manual / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Tree(release, glosses, frames, folders)


FORGOTTEN = "S000007_P0003_T00"


def write_csl_daily(root: Path, *, train: int = 6, dev: int = 3, test: int = 3) -> Tree:
    """``CSL-Daily`` under ``root``; the last training clip is the one that split_1.txt forgets."""
    corpus = root / "CSL-Daily"
    labels = corpus / "sentence_label"
    labels.mkdir(parents=True)
    table, splits = ["index|name|length|gloss|char|word|postag"], ["name|split"]
    info = []
    glosses: dict[str, dict[str, tuple[str, ...]]] = {}
    frames, folders = {}, {}
    number = 20
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        glosses[split] = {}
        for n, clip in enumerate(signed(split, count, width=HEIGHT, height=HEIGHT)):
            name = FORGOTTEN if split == "train" and n == count - 1 else f"S{number:06d}_P{n % 10:04d}_T00"
            number += 1
            said = tuple(CHINESE[letter] for letter in clip.letters)
            folder = corpus / "sentence" / "frames_512x512" / name
            write_frames(folder, clip.pictures, "{:06d}.jpg", 0)
            text = "".join(said)
            table.append(f"{len(table) - 1}|{name}|{len(clip.pictures)}|{' '.join(said)}|{' '.join(text)}|{text}|n")
            info.append({"name": name, "length": len(clip.pictures), "label_gloss": list(said), "signer": 0})
            if name != FORGOTTEN:
                splits.append(f"{name}|{split}")
            glosses[split][name], frames[name], folders[name] = said, len(clip.pictures), folder
    (labels / "video_map.txt").write_text("\n".join(table) + "\n", encoding="utf-8")
    (labels / "split_1.txt").write_text("\n".join(splits) + "\n", encoding="utf-8")
    (labels / "csl2020ct_v2.pkl").write_bytes(pickle.dumps({"info": info, "gloss_map": sorted(CHINESE.values())}))
    return Tree(corpus, glosses, frames, folders)


def write_manifest(root: Path, *, train: int = 4, dev: int = 3, test: int = 3, jsonl: bool = False) -> Tree:
    """A table of folders of frames, and of one mp4 in each split, beside it."""
    import json

    root.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    glosses: dict[str, dict[str, tuple[str, ...]]] = {}
    frames, folders = {}, {}
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        glosses[split] = {}
        for n, clip in enumerate(signed(split, count)):
            said = tuple(GLOSS_OF[letter] for letter in clip.letters)
            name = f"{split}/{n}" if n else f"{split}/{n}.mp4"
            if n:
                write_frames(root / name, clip.pictures, "{}.png", 1)  # without leading zeros: 2 comes before 10
            else:
                write_mp4(root / name, clip.pictures)
            rows.append({"path": name, "glosses": list(said), "split": split, "signer": f"signer {n % 2}"})
            glosses[split][name], frames[name], folders[name] = said, len(clip.pictures), root / name
    path = root / ("clips.jsonl" if jsonl else "clips.csv")
    if jsonl:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        lines = [f"{r['path']},{' '.join(r['glosses'])},{r['split']},{r['signer']}" for r in rows]  # type: ignore[arg-type]
        path.write_text("\n".join(["path,glosses,split,signer", *lines]) + "\n", encoding="utf-8")
    return Tree(path, glosses, frames, folders)


def write_mp4(path: Path, pictures: Sequence[Image.Image], *, frames_per_second: int = 25) -> None:
    """An H.264 file of the pictures."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), mode="w", format="mp4") as container:
        stream = container.add_stream("h264", rate=frames_per_second)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())
