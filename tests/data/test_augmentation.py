"""Augmentations: shapes, one box for a clip, nothing done where all is off, the same for the same generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.data.augmentation import augment, centre_crop
from slrbench.errors import BadInputError

OFF = {"colour": 0.0, "tempo": 0.0, "flip": False}


def clip(frames: int = 12, height: int = 20, width: int = 24) -> np.ndarray:
    """Every pixel tells its row, its column and its frame."""
    found = np.empty((frames, height, width, 3), dtype=np.uint8)
    found[..., 0] = 10 * np.arange(height)[:, None]
    found[..., 1] = 10 * np.arange(width)
    found[..., 2] = np.arange(frames)[:, None, None]
    return found


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    frames=st.integers(1, 40),
    size=st.integers(1, 20),
    flip=st.booleans(),
    colour=st.floats(0, 0.9),
    tempo=st.floats(0, 0.9),
)
def test_the_shape_is_the_crop_and_the_length_within_the_tempo(
    seed: int, frames: int, size: int, flip: bool, colour: float, tempo: float
) -> None:
    found = augment(clip(frames), np.random.default_rng(seed), size=size, flip=flip, colour=colour, tempo=tempo)
    assert found.shape[1:] == (size, size, 3)
    assert found.dtype == np.uint8
    assert max(1, np.floor(frames * (1 - tempo))) <= len(found) <= np.ceil(frames * (1 + tempo)) + 1
    again = augment(clip(frames), np.random.default_rng(seed), size=size, flip=flip, colour=colour, tempo=tempo)
    assert np.array_equal(found, again)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 20), flip=st.booleans())
def test_one_box_is_cut_out_of_every_frame(seed: int, size: int, flip: bool) -> None:
    whole = clip()
    found = augment(whole, np.random.default_rng(seed), size=size, flip=flip, colour=0.0, tempo=0.0)
    row, columns = int(found[0, 0, 0, 0]) // 10, found[0, 0, :, 1].astype(int) // 10
    box = whole[:, row : row + size, columns.min() : columns.min() + size]
    mirrored = size > 1 and columns[0] > columns[-1]
    assert np.array_equal(found, box[:, :, ::-1] if mirrored else box)
    assert flip or not mirrored


@given(seed=st.integers(0, 2**32), tempo=st.floats(0, 0.9))
def test_tempo_keeps_the_order_and_both_ends(seed: int, tempo: float) -> None:
    found = augment(clip(40), np.random.default_rng(seed), size=20, colour=0.0, tempo=tempo)[:, 0, 0, 2].astype(int)
    assert (np.diff(found) >= 0).all()
    share = len(found) / 40
    assert found[0] <= 1 / share
    assert found[-1] >= 39 - 1 / share


@given(seed=st.integers(0, 2**32))
def test_nothing_is_done_where_all_is_off(seed: int) -> None:
    whole = clip(height=20, width=20)
    assert np.array_equal(augment(whole, np.random.default_rng(seed), size=20, **OFF), whole)


def test_every_place_of_the_box_both_directions_and_every_length_occur() -> None:
    rng = np.random.default_rng(0)
    found = [augment(clip(10), rng, size=19, flip=True, colour=0.0, tempo=0.2) for _ in range(300)]
    assert {int(one[0, 0, 0, 0]) // 10 for one in found} == {0, 1}
    assert {int(one[0, 0, :, 1].min()) // 10 for one in found} == {0, 1, 2, 3, 4, 5}
    assert {len(one) for one in found} == {8, 9, 10, 11, 12}
    mirrored = sum(one[0, 0, 0, 1] > one[0, 0, -1, 1] for one in found)
    assert 100 < mirrored < 200


def test_colours_change_in_some_clips_and_in_all_frames_alike() -> None:
    still = np.repeat(clip(1, 20, 20), 6, axis=0)
    rng = np.random.default_rng(0)
    found = [augment(still, rng, size=20, colour=0.4, tempo=0.0) for _ in range(200)]
    changed = [one for one in found if not np.array_equal(one, still)]
    assert 30 < len(changed) < 90
    assert all((one == one[0]).all() for one in changed)


def test_options_do_not_move_the_random_numbers_that_follow() -> None:
    after = []
    for options in (OFF, {"flip": True, "colour": 0.4, "tempo": 0.3}):
        rng = np.random.default_rng(3)
        augment(clip(), rng, size=16, **options)
        after.append(rng.random())
    assert after[0] == after[1]


def test_the_input_is_not_changed_and_may_be_read_only() -> None:
    whole = clip()
    whole.setflags(write=False)
    for seed in range(10):
        augment(whole, np.random.default_rng(seed), size=16, flip=True)
    assert np.array_equal(whole, clip())


def test_evaluation_sees_the_middle() -> None:
    assert np.array_equal(centre_crop(clip(), size=16), clip()[:, 2:18, 4:20])
    assert np.array_equal(centre_crop(clip(), size=20)[..., 1], clip()[:, :, 2:22, 1])


def test_a_crop_larger_than_the_frame_is_refused() -> None:
    with pytest.raises(BadInputError, match="frames of 20 x 24 pixels are smaller than the crop, 21"):
        augment(clip(), np.random.default_rng(0), size=21)
    with pytest.raises(BadInputError, match="smaller than the crop"):
        centre_crop(clip(), size=21)


@pytest.mark.parametrize("name", ["colour", "tempo"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_share_outside_0_to_1_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadInputError, match=name):
        augment(clip(), np.random.default_rng(0), size=16, **{name: value})
