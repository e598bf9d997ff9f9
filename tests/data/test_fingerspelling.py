import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.ctc import is_feasible
from slrbench.data import open_corpus
from slrbench.data.fingerspelling import TEN_LETTERS, FingerspellingCorpus
from slrbench.data.recordings import recording_sha256
from slrbench.data.rendering import Camera, render
from slrbench.data.spelling import HAND_AT, spell
from slrbench.data.words import split_words
from slrbench.errors import BadInputError


@pytest.fixture(scope="module")
def corpus() -> FingerspellingCorpus:
    return FingerspellingCorpus.from_options({"letters": "10", "size": "32", "clips": "200"})


class TestClips:
    def test_a_clip_is_the_same_for_the_same_seed_and_index(self, corpus):
        again = open_corpus(corpus.spec)
        for name in corpus.split_names:
            a, b = corpus.split(name)[3], again.split(name)[3]
            assert (a.clip_id, a.labels, a.boundaries) == (b.clip_id, b.labels, b.boundaries)
            np.testing.assert_array_equal(a.frames, b.frames)

    def test_a_clip_stays_the_same_from_version_to_version(self):
        # A change of this number changes every clip: raise spelling.VERSION or rendering.VERSION with it.
        movement = spell("CAB", "ase", np.random.default_rng(7))
        digest = hashlib.sha256(np.round(movement.hands, 6).tobytes()).hexdigest()
        assert digest[:16] == GOLDEN_MOVEMENT

    def test_another_seed_gives_other_clips(self, corpus):
        other = open_corpus(corpus.spec + ",seed=1")
        assert other.split("test")[0].labels == corpus.split("test")[0].labels
        assert not np.array_equal(other.split("test")[0].frames[5], corpus.split("test")[0].frames[5])

    def test_the_frames_are_rgb_bytes_of_the_size_asked_for(self, corpus):
        clip = corpus.split("dev")[0]
        assert clip.frames.dtype == np.uint8
        assert clip.frames.shape[1:] == (32, 32, 3)

    def test_boundaries_hold_the_letters_in_order(self, corpus):
        for i in range(20):
            clip = corpus.split("test")[i]
            assert clip.boundaries is not None
            assert len(clip.boundaries) == len(clip.glosses)
            flat = [edge for pair in clip.boundaries for edge in pair]
            assert flat == sorted(flat)
            assert flat[0] > 0
            assert flat[-1] < len(clip.frames)

    def test_an_index_outside_is_an_index_error(self, corpus):
        with pytest.raises(IndexError):
            corpus.split("dev")[len(corpus.split("dev"))]


class TestMovement:
    def test_the_hand_moves_between_two_equal_letters_and_comes_back(self):
        movement = spell("LL", "ase", np.random.default_rng(0))
        (_, first_end), (second_start, _) = movement.boundaries
        palm = movement.hands[:, 0].mean(axis=1)
        between = palm[first_end:second_start]
        away = np.linalg.norm(between - palm[first_end - 1], axis=-1)
        assert away.max() > 0.08, "the doubled letter has a real return movement"
        assert np.linalg.norm(palm[second_start] - palm[first_end - 1]) < away.max()

    def test_every_letter_is_held_at_one_place(self):
        places = []
        for letter in TEN_LETTERS:
            for seed in range(5):
                movement = spell(letter, "ase", np.random.default_rng(seed))
                start, stop = movement.boundaries[0]
                places.append(movement.hands[start:stop, 0][:, [0, 5, 9, 13, 17]].mean(axis=(0, 1)))
        assert np.abs(np.array(places) - HAND_AT).max() < 0.09

    def test_nothing_to_spell_is_an_error(self):
        with pytest.raises(ValueError, match="letters is empty"):
            spell([], "ase", np.random.default_rng(0))

    @settings(max_examples=30, deadline=None)
    @given(word=st.lists(st.sampled_from(TEN_LETTERS), min_size=1, max_size=8), seed=st.integers(0, 2**31))
    def test_ctc_of_stride_4_can_align_whatever_is_spelled(self, word, seed):
        movement = spell(word, "ase", np.random.default_rng(seed))
        assert is_feasible([ord(letter) for letter in word], len(movement.hands), 4)
        assert np.isfinite(movement.hands).all()

    def test_two_handed_letters_show_two_hands(self):
        one = spell("B", "ase", np.random.default_rng(0))
        two = spell("B", "tsm", np.random.default_rng(0))  # Turkish letters use both hands
        assert one.hand_weight[:, 1].max() == 0
        assert two.hand_weight[:, 1].max() == 1


class TestRendering:
    def test_fingers_have_their_colours_and_the_hand_is_brighter_than_the_arm(self):
        movement = spell("B", "ase", np.random.default_rng(0))
        start, stop = movement.boundaries[0]
        frame = render(movement, 96, Camera())[(start + stop) // 2].astype(int)
        saturation = frame.max(axis=-1) - frame.min(axis=-1)
        assert saturation.max() > 120, "fingers are coloured"
        assert ((saturation < 30) & (frame.max(axis=-1) > 40)).any(), "the arm is faint and grey"

    def test_without_a_hand_nothing_coloured_is_drawn(self):
        movement = spell("B", "ase", np.random.default_rng(0))
        hidden = render(type(movement)(**{**vars(movement), "hand_weight": movement.hand_weight * 0}), 64, Camera())
        assert (hidden.astype(int).max(axis=-1) - hidden.astype(int).min(axis=-1)).max() < 30


class TestSplits:
    def test_the_word_lists_are_disjoint_and_spellable(self):
        words = split_words(TEN_LETTERS)
        lists = [set(words[name]) for name in ("train", "dev", "test")]
        assert not (lists[0] & lists[1] | lists[0] & lists[2] | lists[1] & lists[2])
        assert all(set(word) <= set(TEN_LETTERS) for group in lists for word in group)
        assert min(map(len, lists)) > 10

    def test_training_never_shows_a_word_of_dev_or_test(self, corpus):
        held_out = {*corpus.words["dev"], *corpus.words["test"]}
        for epoch in range(10):
            split = corpus.training_epoch(epoch, seed=0)
            for i in range(0, len(split), 5):
                assert "".join(split.utterance(i).letters) not in held_out

    def test_difficulty_caps_the_length(self, corpus):
        easy = corpus.training_epoch(0, seed=0, difficulty=0.15)
        assert {easy.label_length(i) for i in range(100)} == {1}
        hard = corpus.training_epoch(0, seed=0, difficulty=1.0)
        assert max(hard.label_length(i) for i in range(100)) >= 6

    def test_epochs_and_seeds_differ_and_repeat(self, corpus):
        def letters(epoch, seed):
            split = corpus.training_epoch(epoch, seed=seed)
            return [split.utterance(i).letters for i in range(20)]

        assert letters(0, 0) == letters(0, 0)
        assert letters(0, 0) != letters(1, 0)
        assert letters(0, 0) != letters(0, 1)

    def test_held_out_signers_share_no_recording_with_training(self, corpus):
        trained = {recording_sha256("ase", letter) for letter in corpus.letters}
        assert len(corpus.signer_alphabets) >= 3
        for alphabet in corpus.signer_alphabets:
            assert set(alphabet.letters) <= set(corpus.letters)
            assert not trained & {recording_sha256(alphabet.language, letter) for letter in alphabet.letters}
        signers = {corpus.split("test-signers")[i].signer for i in range(0, len(corpus.split("test-signers")), 7)}
        assert "ase" not in signers
        assert "fsl" not in signers

    def test_several_languages_alternate(self):
        both = open_corpus("fingerspelling:language=ase+gsg,letters=ABCELT,size=24")
        assert {both.split("train")[i].signer for i in range(6)} == {"ase", "gsg"}
        assert all(a.language not in ("ase", "gsg") for a in both.signer_alphabets)

    def test_statistics_count_what_ctc_cannot_align(self):
        statistics = open_corpus("fingerspelling:letters=ABCELT,size=24").statistics()
        for figures in statistics["splits"].values():
            assert figures["not_alignable_at_stride_4"] == 0
            assert figures["clips"] > 0

    def test_the_fingerprint_follows_every_option(self):
        specs = [
            "fingerspelling:letters=10,size=32",
            "fingerspelling:letters=10,size=48",
            "fingerspelling:letters=ABCDE,size=32",
            "fingerspelling:letters=10,size=32,seed=1",
        ]
        prints = {open_corpus(spec).fingerprint() for spec in specs}
        assert len(prints) == len(specs)
        assert open_corpus(open_corpus(specs[0]).spec).fingerprint() == open_corpus(specs[0]).fingerprint()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("phoenix", "unknown corpus 'phoenix'"),
        ("fingerspelling:sise=48", "unknown option 'sise'"),
        ("fingerspelling:size=7", "size='7' is not an integer in 24..512"),
        ("fingerspelling:size", "is not option=value"),
        ("fingerspelling:size=48,size=64", "given twice"),
        ("fingerspelling:language=xyz", "no recordings of sign language 'xyz'"),
        ("fingerspelling:letters=AÄ", "neither a count nor letters"),
        ("fingerspelling:letters=1", "letters=1 is not in 2..26"),
        ("fingerspelling:language=gss,letters=ABC", "letters A B C are not in the alphabet of 'gss'"),
    ],
)
def test_wrong_specs_are_refused_in_words(spec, words):
    with pytest.raises(BadInputError, match=words) as caught:
        open_corpus(spec)
    assert caught.value.hint


def test_letters_that_spell_nothing_are_refused():
    with pytest.raises(BadInputError, match="spell too few words"):
        open_corpus("fingerspelling:letters=QXZ").split("test")


def test_an_unknown_split_is_refused(corpus):
    with pytest.raises(BadInputError, match="unknown split 'validation'"):
        corpus.split("validation")


GOLDEN_MOVEMENT = "b556a4f7fbe7d461"
