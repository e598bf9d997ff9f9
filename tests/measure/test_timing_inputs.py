"""What timed calls are fed with."""

import numpy as np
import pytest

from slrbench.data.batching import normalise
from slrbench.measure.timing_inputs import BUDGET_BYTES, clip_inputs, fit_frames, input_count, noise_inputs
from slrbench.records import Candidate


def candidate(**changes: object) -> Candidate:
    values: dict[str, object] = {
        "model": "m", "backend": "onnx", "format": "onnx", "threads": 1, "batch": 2, "frames": 6, "height": 4,
        "width": 4, "path": "m.onnx", "artifact_sha256": "0", "size_bytes": 1,
    }  # fmt: skip
    return Candidate.model_validate(values | changes)


def clips(count: int, frames: int) -> list[np.ndarray]:
    return [np.full((frames, 4, 4, 3), 10 * c, np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None, None]
            for c in range(count)]  # fmt: skip


@pytest.mark.parametrize(
    ("have", "wanted", "expected"), [(5, 3, [0, 1, 2]), (3, 3, [0, 1, 2]), (2, 5, [0, 1, 0, 1, 0])]
)
def test_clips_are_cut_or_repeated(have: int, wanted: int, expected: list[int]) -> None:
    assert fit_frames(clips(1, have)[0], wanted)[:, 0, 0, 0].tolist() == expected


def test_a_clip_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="without frames"):
        fit_frames(np.zeros((0, 4, 4, 3), np.uint8), 3)


def test_clips_fill_the_batches_one_after_another() -> None:
    made = clip_inputs(candidate(input_kind="uint8"), clips(3, 4), normalise, source="test clips")
    assert made.videos.shape == (8, 2, 6, 4, 4, 3)
    assert made.videos[:3, :, 0, 0, 0, 0].tolist() == [[0, 10], [20, 0], [10, 20]]
    assert made.source == "8 inputs of 3 test clips, cut or repeated to 6 frames"


def test_float32_inputs_are_normalised_clips() -> None:
    raw = clip_inputs(candidate(input_kind="uint8"), clips(3, 4), normalise, source="x").videos
    video = clip_inputs(candidate(), clips(3, 4), normalise, source="x").videos
    assert video.shape == (8, 2, 3, 6, 4, 4)
    assert video.dtype == np.float32
    np.testing.assert_allclose(video, np.moveaxis(raw, -1, 2) / 127.5 - 1.0, atol=1e-6)


def test_noise_covers_the_range_and_repeats_for_a_seed() -> None:
    one = noise_inputs(candidate(height=32, width=32))
    assert one.videos.shape == (8, 2, 3, 6, 32, 32)
    assert -1.0 <= one.videos.min() < -0.99
    assert 0.99 < one.videos.max() <= 1.0
    np.testing.assert_array_equal(one.videos, noise_inputs(candidate(height=32, width=32)).videos)
    raw = noise_inputs(candidate(input_kind="uint8", height=32, width=32)).videos
    assert (raw.min(), raw.max(), raw.dtype) == (0, 255, np.uint8)
    assert "noise" in one.source


def test_inputs_are_fewer_only_where_memory_does_not_allow_eight() -> None:
    large = candidate(batch=1, frames=64, height=512, width=512)
    size = 3 * 64 * 512 * 512 * 4
    assert 8 * size > BUDGET_BYTES
    assert input_count(candidate(), available_bytes=0) == 8
    assert input_count(large, available_bytes=64 * size) == 8
    assert input_count(large, available_bytes=32 * size) == 4
    assert input_count(large, available_bytes=0) == 2
