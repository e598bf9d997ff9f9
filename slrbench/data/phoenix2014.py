"""RWTH-PHOENIX-Weather 2014, as ``phoenix-2014.v3.tar.gz`` unpacks: German weather forecasts, 9 signers.

Two partitions: ``multisigner``, every signer in every split, and ``si5``, signer 5 in dev and test only. Glosses are
taken as they are written, ``__ON__``, ``loc-`` and repeats among them: what is cleaned up before scoring, scoring says.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from slrbench.data.annotations import SPLITS, CorpusIndex, find_root, frames_of_pattern, one_of, read_rows

OPTIONS = {"subset": "multisigner"}
EXPECTED = (
    "phoenix2014-release, with phoenix-2014-multisigner/annotations/manual/train.corpus.csv and "
    "features/fullFrame-210x260px in it"
)

BROKEN = "13April_2011_Wednesday_tagesschau_default-14"
"""A training clip (row 2390, counted from 0) whose video ends long before its glosses: the field leaves it out."""

_FOLDERS = {"multisigner": "phoenix-2014-multisigner", "si5": "phoenix-2014-signerindependent-SI5"}
_SUFFIX = {"multisigner": "corpus.csv", "si5": "SI5.corpus.csv"}
_FEATURES = Path("features", "fullFrame-210x260px")
_MANUAL = Path("annotations", "manual")


def index(path: Path, options: Mapping[str, str]) -> CorpusIndex:
    """Read the annotations and list the frames.

    Raises:
        BadInputError: the folder is not this corpus, or an annotation file is not as expected.
    """
    subset = one_of(options, "subset", tuple(_FOLDERS))
    suffix = _SUFFIX[subset]

    def holds(folder: Path) -> bool:
        return (folder / _MANUAL / f"train.{suffix}").is_file()

    name = _FOLDERS[subset]
    expected = EXPECTED if subset == "multisigner" else f"phoenix2014-release, with {name}/{_MANUAL}/train.{suffix}"
    root = find_root(path, holds, (name, f"phoenix2014-release/{name}", f"phoenix2014/{name}"), expected=expected)
    found = CorpusIndex(scoring="phoenix2014")
    for split in SPLITS:
        bases = tuple(_bases(root, subset, split))
        rows = read_rows(
            root / _MANUAL / f"{split}.{suffix}",
            "|",
            ("id", "folder", "signer", "annotation"),
            what=f"the annotations of {split} of PHOENIX-2014",
        )
        for _, row in rows:
            if row["id"] == BROKEN and split == "train":
                found.leave_out(split, BROKEN, "known to be broken: its video ends before its glosses do")
                continue
            found.add(
                split,
                row["id"],
                source=frames_of_pattern(bases, row["folder"]),
                looked_in=str(bases[0] / row["folder"]),
                glosses=row["annotation"].split(),
                signer=row["signer"],
            )
    return found


def _bases(root: Path, subset: str, split: str) -> Iterable[Path]:
    """Where frames may lie. SI5 divides the same clips anew, and copies often hold the multi-signer frames only."""
    yield root / _FEATURES / split
    if subset == "si5":
        other = root.parent / _FOLDERS["multisigner"] / _FEATURES
        yield from (other / name for name in SPLITS)
