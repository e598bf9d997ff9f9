import numpy as np
import pytest

from slrbench.data.recordings import PALM, languages, letters_of, load_letter, recording_sha256
from slrbench.errors import BadInputError


def test_every_basic_letter_of_the_american_alphabet_was_recorded():
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == set(letters_of("ase"))
    assert len(languages()) == 20


def test_a_recording_is_in_shoulder_widths_around_the_shoulders():
    recording = load_letter("ase", "B")
    shoulders = recording.body[:, :2]
    widths = np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1)
    np.testing.assert_allclose(widths, 1.0, atol=0.1)
    assert np.abs(shoulders.mean(axis=(0, 1))).max() < 0.1
    hand = recording.hands[:, 0]
    length = np.linalg.norm(hand[:, 12] - hand[:, 0], axis=-1)  # wrist to middle finger's tip, B is a flat hand
    assert ((length > 0.3) & (length < 0.9)).all()


@pytest.mark.parametrize("letter", list("ABCDEFGHIKLMNOPQRSTUVWXY"))
def test_a_still_letter_is_trimmed_to_where_the_hand_is_held(letter: str):
    recording = load_letter("ase", letter)
    assert not recording.moves
    palm = recording.hands[:, 0][:, PALM].mean(axis=1)
    assert np.linalg.norm(np.diff(palm, axis=0), axis=-1).max() < 0.08


@pytest.mark.parametrize("letter", ["J", "Z"])
def test_a_letter_that_is_a_movement_keeps_its_movement(letter: str):
    recording = load_letter("ase", letter)
    assert recording.moves
    palm = recording.hands[:, 0].mean(axis=1)
    assert np.ptp(palm, axis=0).max() > 0.2


def test_left_handers_are_mirrored_so_that_hand_0_is_present():
    recording = load_letter("ise", "B")  # signed with the left hand
    assert recording.hand_present == (True, False)
    shoulders = recording.body[0, :2, 0]
    assert shoulders[0] < shoulders[1], "the dominant shoulder is on the viewer's left, as for a right-hander"


def test_the_french_entries_are_the_american_recordings():
    # Why held-out signers are told apart by content and not by language.
    assert recording_sha256("fsl", "A") == recording_sha256("ase", "A")
    assert recording_sha256("gsg", "A") != recording_sha256("ase", "A")


def test_unknown_languages_and_letters_are_refused_with_what_there_is():
    with pytest.raises(BadInputError, match="no recordings of sign language 'xyz'") as caught:
        letters_of("xyz")
    assert "ase" in str(caught.value.hint)
    with pytest.raises(BadInputError, match="letter 'Ä' is not in the alphabet of 'ase'"):
        load_letter("ase", "Ä")
