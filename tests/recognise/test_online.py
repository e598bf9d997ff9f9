"""Recognition while frames arrive: what is settled stays, and a window as long as the video changes nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.errors import BadInputError
from slrbench.recognise.network import Network
from slrbench.recognise.online import OnlineRecogniser
from slrbench.recognise.view import View

GLOSSES = ("A", "B", "C")
SIDE = 2


def network(*, jitter=0, context=0):
    """Says for each output step what the frames' grey value codes: 0 is the blank, 10 times the label else.

    ``jitter``: steps by which the whole window's answer is late, where the window does not begin with the video.
    ``context``: frames of both ends of the window within which nothing is recognised, as if more had to be seen.
    """

    def infer(video):
        values = video[0, :, 0, 0, 0].astype(int)
        steps = -(-len(values) // 4)
        labels = [int(values[min(4 * s, len(values) - 1)]) // 10 for s in range(steps)]
        begins = len(values) > 0 and video[0, 0, 0, 1, 0] == 0
        if jitter and not begins:
            labels = [0] * jitter + labels[:-jitter]
        if context:
            edge = context // 4
            labels = [0 if s >= steps - edge else label for s, label in enumerate(labels)]
        log_probs = np.full((steps, 1, 4), np.log(0.02), dtype=np.float32)
        for step, label in enumerate(labels):
            log_probs[step, 0, label] = np.log(0.94)
        return log_probs

    return Network(
        infer=infer,
        glosses=GLOSSES,
        view=View(resize=(SIDE, SIDE), size=(SIDE, SIDE)),
        frames_per_second=25.0,
        stride=4,
        input_kind="uint8",
    )


def frames_of(path):
    """Four frames for each label; the second pixel counts frames, so that the network knows the first one."""
    frames = np.zeros((4 * len(path), SIDE, SIDE, 3), dtype=np.uint8)
    frames[:, 0, 0] = np.repeat([10 * label for label in path], 4)[:, None]
    frames[:, 0, 1] = np.minimum(np.arange(len(frames)), 255)[:, None]
    return frames


def run(recogniser, frames, pieces=7):
    updates = []
    for start in range(0, len(frames), pieces):
        updates += recogniser.push(frames[start : start + pieces])
    return [*updates, recogniser.finish()]


UNEVEN = [(64, 24, None), (64, 48, None), (16, 12, None)]  # windows that the stride does not divide

# A gloss of one or two steps and at least one blank after it, as CTC networks answer.
sentences = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 4)), min_size=1, max_size=20).map(
    lambda signs: [step for label, held, pause in signs for step in [*([label] * held), *([0] * pause)]]
)


@given(sentences, st.integers(0, 3), st.sampled_from([4, 8, 16]))
def test_a_window_as_long_as_the_video_gives_what_the_whole_video_gives(path, more, stride):
    frames = frames_of(path)
    frames = np.concatenate([frames, frames[-1:].repeat(more, axis=0)])
    window = max(stride, -(-len(frames) // 4) * 4)
    online = OnlineRecogniser(network(context=8), window=window, stride=stride)
    run(online, frames)
    assert online.recognition().segments == network(context=8).recognise(frames).segments


@given(sentences, st.sampled_from([(32, 8, 8), (32, 16, None), (64, 16, 0), (16, 16, None), (8, 4, 4), *UNEVEN]))
def test_a_network_that_needs_no_context_is_read_alike_through_any_window(path, lengths):
    window, stride, lookahead = lengths
    frames = frames_of(path)
    online = OnlineRecogniser(network(), window=window, stride=stride, lookahead=lookahead)
    run(online, frames)
    assert [s.gloss for s in online.committed] == list(network().recognise(frames).glosses)


@given(sentences)
def test_a_step_more_or_less_from_window_to_window_neither_doubles_nor_loses_a_gloss(path):
    frames = frames_of(path)
    online = OnlineRecogniser(network(jitter=1), window=64, stride=16)
    run(online, frames)
    assert [s.gloss for s in online.committed] == list(network().recognise(frames).glosses)


@given(sentences, st.integers(0, 1))
def test_what_is_settled_never_changes(path, jitter):
    online = OnlineRecogniser(network(jitter=jitter, context=8), window=32, stride=8)
    frames, seen = frames_of(path), []
    for frame in frames:
        for update in online.push([frame]):
            before = list(seen)
            seen += update.committed
            assert [s.gloss for s in online.committed[: len(before)]] == [s.gloss for s in before]
    seen += online.finish().committed
    assert tuple(seen) == tuple(s for s in online.committed)
    starts = [s.start_s for s in seen]
    assert starts == sorted(starts)


def test_nothing_is_settled_before_enough_comes_after_it():
    path = [0, 1] + [0] * 30
    online = OnlineRecogniser(network(), window=32, stride=4, lookahead=12)
    for count, frame in enumerate(frames_of(path), start=1):
        updates = online.push([frame])
        if not updates:
            continue
        if count < 32:
            assert updates[0].committed == ()
            assert [s.gloss for s in updates[0].tentative] == (["A"] if count >= 8 else [])
        elif count == 32:
            assert [s.gloss for s in updates[0].committed] == ["A"]
            assert updates[0].at_s == pytest.approx(32 / 25)
            assert updates[0].tentative == ()


def test_tentative_glosses_lie_after_the_settled_ones():
    path = [0, 0, 1, 0, 2, 0, 3, 0] + [0] * 4
    online = OnlineRecogniser(network(), window=32, stride=16, lookahead=16)
    updates = run(online, frames_of(path), pieces=1)
    assert [[s.gloss for s in u.tentative] for u in updates] == [["A"], ["B", "C"], [], []]
    assert [[s.gloss for s in u.committed] for u in updates] == [[], ["A"], ["B", "C"], []]


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ({"window": 30, "stride": 8}, "window is 30 frames, expected a multiple of 4"),
        ({"window": 32, "stride": 6}, "stride is 6 frames, expected a multiple of 4"),
        ({"window": 16, "stride": 32}, "stride is 32 frames, expected at most the window"),
        ({"window": 32, "stride": 8, "lookahead": 28}, "lookahead is 28 frames, expected 0 to 24"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths, words):
    with pytest.raises(BadInputError, match=words):
        OnlineRecogniser(network(), **lengths)


def test_no_frame_and_a_frame_too_late_are_refused():
    online = OnlineRecogniser(network(), window=16, stride=8)
    with pytest.raises(BadInputError, match="no frames"):
        online.finish()
    online.push(frames_of([1]))
    online.finish()
    with pytest.raises(BadInputError, match="has ended"):
        online.push(frames_of([1]))
