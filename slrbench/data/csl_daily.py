"""CSL-Daily: Chinese sign language of daily life, frames of 512 x 512 pixels.

Glosses come from ``video_map.txt``, the table that the field uses, or from the release's ``csl2020ct_v2.pkl`` or
``_v1.pkl``; option ``labels`` says which. The two releases differ in some texts.
"""

import io
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from slrbench.data.annotations import SPLITS, CorpusIndex, find_root, frames_in, read_rows
from slrbench.errors import BadInputError

OPTIONS = {"labels": ""}
EXPECTED = "CSL-Daily, with sentence/frames_512x512 and, in sentence_label, split_1.txt and video_map.txt (or the .pkl)"

NOT_IN_SPLIT = "S000007_P0003_T00"
"""A clip that split_1.txt forgets; the field puts it into train."""

LABELS = ("video_map.txt", "csl2020ct_v2.pkl", "csl2020ct_v1.pkl")
_PLACES = ("sentence_label", "", "sentence", "sentence/sentence_label")
_FRAMES = Path("sentence", "frames_512x512")


def index(path: Path, options: Mapping[str, str]) -> CorpusIndex:
    """Read labels and splits and list the frames.

    Raises:
        BadInputError: the folder is not this corpus, or a file of it is not as expected.
    """
    root = find_root(path, lambda folder: (folder / _FRAMES).is_dir(), ("CSL-Daily", "csl-daily"), expected=EXPECTED)
    labels = _find(root, (options["labels"],) if options.get("labels") else LABELS)
    glosses = dict(_read_labels(labels))
    found = CorpusIndex(scoring="csl-daily")
    found.notes.append(f"glosses are those of {labels.name}")
    splits = _read_split(_find(root, ("split_1.txt",)))
    if NOT_IN_SPLIT in glosses and NOT_IN_SPLIT not in splits:
        splits[NOT_IN_SPLIT] = "train"
        found.notes.append(f"{NOT_IN_SPLIT} is missing in split_1.txt and is put into train")
    for name, split in splits.items():
        if name not in glosses:
            found.leave_out(split, name, f"not in {labels.name}")
            continue
        folder = root / _FRAMES / name
        found.add(
            split,
            name,
            source=frames_in(folder),
            looked_in=str(folder),
            glosses=glosses[name],
            signer=_signer(name),
        )
    for name in sorted(glosses.keys() - splits.keys()):
        found.leave_out("", name, "in no split of split_1.txt")
    return found


def _signer(name: str) -> str:
    """``P0000`` of ``S000020_P0000_T00``."""
    match = re.search(r"_(P\d+)_", name)
    return match[1] if match else "unknown"


def _find(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for place in _PLACES:
            if (root / place / name).is_file():
                return root / place / name
    raise BadInputError(
        f"there is no {' or '.join(names)} in {root}, nor in its {', '.join(filter(None, _PLACES))}",
        hint=f"expected {EXPECTED}",
    )


def _read_split(path: Path) -> dict[str, str]:
    splits = {}
    for number, row in read_rows(path, "|", ("name", "split"), what="the splits of CSL-Daily"):
        if row["split"] not in SPLITS:
            raise BadInputError(
                f"line {number} of {path} has split {row['split']!r}", hint=f"expected {', '.join(SPLITS)}"
            )
        splits[row["name"]] = row["split"]
    return splits


def _read_labels(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    if path.suffix == ".pkl":
        yield from _read_pickle(path)
        return
    for _, row in read_rows(path, "|", ("name", "gloss"), what="the labels of CSL-Daily"):
        yield row["name"], tuple(row["gloss"].split())


class _DataOnly(pickle.Unpickler):
    """A pickle may name any function to be called; labels need none."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, and labels are plain data")


def _read_pickle(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The labels of a release: ``{"info": [{"name": ..., "label_gloss": [...]}, ...], ...}``."""
    try:
        document: Any = _DataOnly(io.BytesIO(path.read_bytes())).load()
        rows = [(str(row["name"]), tuple(map(str, row["label_gloss"]))) for row in document["info"]]
    except Exception as error:  # a damaged pickle raises nearly anything
        raise BadInputError(
            f"{path} does not hold the labels of CSL-Daily: {type(error).__name__}: {error}",
            hint="expected a dictionary with 'info', a list of {'name', 'label_gloss'}; or use video_map.txt",
        ) from error
    yield from rows
