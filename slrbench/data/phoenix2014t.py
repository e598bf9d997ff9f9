"""RWTH-PHOENIX-Weather 2014T, as ``phoenix-2014-T.v3.tar.gz`` unpacks: German weather forecasts with translations."""

from collections.abc import Mapping
from pathlib import Path

from slrbench.data.annotations import SPLITS, CorpusIndex, find_root, frames_of_pattern, read_rows

OPTIONS: Mapping[str, str] = {}
EXPECTED = (
    "PHOENIX-2014-T-release-v3/PHOENIX-2014-T, with annotations/manual/PHOENIX-2014-T.train.corpus.csv and "
    "features/fullFrame-210x260px in it"
)

_MANUAL = Path("annotations", "manual")


def index(path: Path, options: Mapping[str, str]) -> CorpusIndex:
    """Read the annotations and list the frames.

    Raises:
        BadInputError: the folder is not this corpus, or an annotation file is not as expected.
    """

    def holds(folder: Path) -> bool:
        return (folder / _MANUAL / "PHOENIX-2014-T.train.corpus.csv").is_file()

    root = find_root(path, holds, ("PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T"), expected=EXPECTED)
    found = CorpusIndex(scoring="phoenix2014t")
    for split in SPLITS:
        base = root / "features" / "fullFrame-210x260px" / split
        rows = read_rows(
            root / _MANUAL / f"PHOENIX-2014-T.{split}.corpus.csv",
            "|",
            ("name", "video", "speaker", "orth"),
            what=f"the annotations of {split} of PHOENIX-2014T",
        )
        for _, row in rows:
            found.add(
                split,
                row["name"],
                source=frames_of_pattern((base,), row["video"]),
                looked_in=str(base / row["name"]),
                glosses=row["orth"].split(),
                signer=row["speaker"],
            )
    return found
