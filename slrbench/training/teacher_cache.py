"""The teacher's outputs on disk, for corpora that show the same training clips in every epoch.

One file per clip in a folder that is named after everything that the outputs depend on: the teacher's weights, the
corpus, the precision, and what is stored. A clip is run alone, so its outputs do not depend on the batch it came in,
and a resumed run reads or computes the very same.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import atomic_path
from slrbench.data.corpus import Corpus, readable_clips
from slrbench.decoding import Hypothesis
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import Recogniser
from slrbench.training.config import DistillationConfig
from slrbench.training.teacher_outputs import ClipOutputs

_VERSION = 1
_EVERY = 8  # every eighth frame is hashed: an augmentation that changes a clip changes all of its frames


class TeacherCache:
    """Outputs by clip id; what is not there is computed and kept."""

    def __init__(self, folder: Path, *, key: str) -> None:
        """``folder`` may be shared: outputs of another ``key`` (see ``cache_key``) go elsewhere."""
        self.folder = folder / key
        self.computed = 0
        self.read = 0

    def get(self, clip_id: str, frames: NDArray[np.uint8], compute: Callable[[], ClipOutputs]) -> ClipOutputs:
        """The outputs of a clip.

        Args:
            clip_id: unique in the corpus.
            frames: what the clip shows now (T, H, W, 3), compared with what it showed when it was stored.
            compute: runs the teacher on the clip.

        Raises:
            BadInputError: the clip shows other frames now.
            OSError: the file cannot be written.
        """
        path = self.folder / f"{hashlib.sha256(clip_id.encode()).hexdigest()[:32]}.npz"
        shows = _fingerprint(frames)
        stored = _read(path)
        if stored is not None:
            if stored[0] != (clip_id, shows):
                raise BadInputError(
                    f"clip {clip_id} shows other frames than when the teacher's outputs were stored in {self.folder}: "
                    "they would teach the wrong clip",
                    hint="distillation.cache_teacher=false, or a corpus without augmentation",
                )
            self.read += 1
            return stored[1]
        outputs = compute()
        _write(path, clip_id, shows, outputs)
        self.computed += 1
        return outputs


def cache_for(
    folder: Path | None,
    teacher: Recogniser,
    corpus: Corpus,
    config: DistillationConfig,
    precision: str,
    seed: int,
) -> TeacherCache | None:
    """The cache of a run; None where it is off, or where there is no folder for it.

    Raises:
        BadInputError: the corpus shows other training clips in every epoch.
    """
    if not config.cache_teacher:
        return None
    require_fixed_clips(corpus, seed)
    return TeacherCache(folder, key=cache_key(teacher, corpus, config, precision)) if folder is not None else None


def require_fixed_clips(corpus: Corpus, seed: int) -> None:
    """Look at the first training clip of two epochs.

    Raises:
        BadInputError: they are not the same, so outputs that were stored for one epoch are of no use in the next.
    """
    epochs = [corpus.training_epoch(epoch, seed=seed) for epoch in (0, 1)]
    first, second = (next((c for _, c in readable_clips(epoch, range(len(epoch)))), None) for epoch in epochs)
    if first is None or second is None:
        raise BadInputError(f"{corpus.spec} has no training clip that can be read", hint="python -m slrbench data SPEC")
    if first.clip_id != second.clip_id or not np.array_equal(first.frames, second.frames):
        raise BadInputError(
            f"distillation.cache_teacher=true, but {corpus.spec} shows other training clips in every epoch: outputs of "
            "the teacher that were stored for one epoch are of no use in the next",
            hint="--set distillation.cache_teacher=false, or a corpus of files without augmentation",
        )


def cache_key(teacher: Recogniser, corpus: Corpus, config: DistillationConfig, precision: str) -> str:
    """A hash of what the teacher's outputs depend on, and of what is stored of them."""
    digest = hashlib.sha256()
    for name, value in sorted(teacher.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    stored: tuple[object, ...] = (config.hint_weight > 0,)
    if config.sequence_weight > 0:
        stored = (*stored, config.sequence_nbest, config.sequence_beam)
    digest.update(repr((_VERSION, teacher.spec, corpus.fingerprint(), precision, stored)).encode())
    return digest.hexdigest()[:32]


def _fingerprint(frames: NDArray[np.uint8]) -> str:
    digest = hashlib.blake2b(repr(frames.shape).encode(), digest_size=16)
    for frame in (*frames[::_EVERY], frames[-1]):
        digest.update(frame.tobytes())
    return digest.hexdigest()


def _write(path: Path, clip_id: str, shows: str, outputs: ClipOutputs) -> None:
    arrays: dict[str, NDArray[np.generic]] = {
        "clip": np.array([clip_id, shows]),
        "log_probs": outputs.log_probs,
    }
    if outputs.features is not None:
        arrays["features"] = outputs.features
    if outputs.hypotheses is not None:
        arrays["labels"] = np.array([label for h in outputs.hypotheses for label in h.labels], dtype=np.int64)
        arrays["counts"] = np.array([len(h.labels) for h in outputs.hypotheses], dtype=np.int64)
        arrays["scores"] = np.array([h.log_prob for h in outputs.hypotheses], dtype=np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _read(path: Path) -> tuple[tuple[str, str], ClipOutputs] | None:
    """None where there is no such file, or it is damaged: it is then computed and written again."""
    try:
        # From memory: of a damaged file that it opens itself, NumPy leaves the handle open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            clip_id, shows = stored["clip"].tolist()
            hypotheses = None
            if "scores" in stored:
                ends = np.cumsum(stored["counts"])
                pieces = np.split(stored["labels"], ends[:-1])
                hypotheses = tuple(
                    Hypothesis(labels=tuple(piece.tolist()), log_prob=score, score=score)
                    for piece, score in zip(pieces, stored["scores"].tolist(), strict=True)
                )
            outputs = ClipOutputs(
                log_probs=stored["log_probs"],
                features=stored.get("features"),
                hypotheses=hypotheses,
            )
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
    return (clip_id, shows), outputs
