"""Continuous fingerspelling from recordings of real signers: the built-in corpus.

Real words are spelled letter by letter; every letter is a real recording, varied, and joined to the next by a
movement. Video is rendered when it is asked for, from a seed, and never stored. What it is good for: a CTC network
can really be trained, verified and compared on it, on a CPU, in minutes. What it is not: a measure of sign language
recognition. Each language's letters come from one recording each, so ``test`` shows words never seen, not signers.
"""

import hashlib
import importlib.metadata
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from slrbench.ctc import output_length, required_steps
from slrbench.data import rendering, spelling
from slrbench.data.corpus import Clip, Vocabulary
from slrbench.data.options import positive_int
from slrbench.data.recordings import FRAMES_PER_SECOND, letters_of, recording_sha256
from slrbench.data.shared_shapes import SignerAlphabet, shared_alphabets
from slrbench.data.words import split_words
from slrbench.errors import BadInputError

TEN_LETTERS = "ABCDEGILPR"
"""Ten letters of the American alphabet whose handshapes lie far apart and that spell many words."""

_BASIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STRIDE = 4  # output stride of both networks, for the statistics of what CTC can align


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What a clip spells, before it is rendered; ``key`` seeds its random variation."""

    letters: tuple[str, ...]
    language: str
    key: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FingerspellingSplit:
    """A split; clips are drawn and rendered when they are asked for."""

    name: str
    clips: int
    utterance: Callable[[int], Utterance]
    vocabulary: Vocabulary
    size: int

    def __len__(self) -> int:
        """Number of clips."""
        return self.clips

    def label_length(self, index: int) -> int:
        """Number of letters of the clip at ``index``."""
        return len(self.utterance(index).letters)

    def glosses(self, index: int) -> tuple[str, ...]:
        """Letters of the clip at ``index``."""
        return self.utterance(index).letters

    def frame_count(self, index: int) -> int | None:
        """Only rendering would tell."""
        return None

    def __getitem__(self, index: int) -> Clip:
        """Spell and render the clip at ``index``: ``(T, size, size, 3)`` RGB."""
        if not 0 <= index < self.clips:
            raise IndexError(f"clip {index} is not in 0..{self.clips - 1}")
        utterance = self.utterance(index)
        rng = np.random.default_rng(np.random.SeedSequence(utterance.key))
        movement = spelling.spell(utterance.letters, utterance.language, rng)
        frames = rendering.render(movement, self.size, rendering.random_camera(rng))
        return Clip(
            clip_id=f"{self.name}-{index:06d}-{''.join(utterance.letters)}",
            frames=frames,
            glosses=utterance.letters,
            labels=self.vocabulary.encode(utterance.letters),
            signer=utterance.language,
            boundaries=movement.boundaries,
        )


@dataclass(frozen=True, kw_only=True)
class FingerspellingCorpus:
    """``--data fingerspelling``; see ``FingerspellingCorpus.from_options`` for its options.

    Splits: ``train``, ``dev`` and ``test`` spell disjoint lists of words with the same recordings, so ``test`` shows
    how a network reads words that it never saw. ``test-signers`` spells words, where the shared letters spell any,
    and shows each shared letter alone, twice (most clips are such single letters), with the recordings of alphabets
    that were never trained on, restricted to letters whose handshape they share with a training alphabet. It can show
    whether the network reads a handshape or one recording of it. It cannot show accuracy on another sign language:
    there are few recordings per letter, shared shapes are chosen by a distance, and orientation and habits differ
    between countries even where the shape is shared.
    """

    languages: tuple[str, ...] = ("ase",)
    letters: tuple[str, ...] = tuple(_BASIC)
    size: int = 64
    seed: int = 0
    clips: int = 4000
    spec: str = "fingerspelling"
    split_names: tuple[str, ...] = field(default=("train", "dev", "test", "test-signers"), init=False)
    frames_per_second: float = field(default=FRAMES_PER_SECOND, init=False)

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "FingerspellingCorpus":
        """Read ``language=ase+gsg``, ``letters=26`` (a count, or the letters), ``size=64``, ``seed=0``, ``clips=4000``.

        ``clips`` is the number of training clips in an epoch. A count of 10 means the ten letters of
        ``TEN_LETTERS``; another count the first so many of A-Z.

        Raises:
            BadInputError: an unknown option, language or letter, or a value out of range.
        """
        known = {"language", "letters", "size", "seed", "clips"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise BadInputError(
                f"unknown option {unknown[0]!r} of corpus fingerspelling", hint=f"known: {', '.join(sorted(known))}"
            )
        given = dict(options)
        languages = tuple(dict.fromkeys(given.get("language", "ase").split("+")))
        letters = _letters(given.get("letters", "26"))
        for language in languages:
            available = set(letters_of(language))
            missing = [letter for letter in letters if letter not in available]
            if missing:
                raise BadInputError(
                    f"letters {' '.join(missing)} are not in the alphabet of {language!r}",
                    hint=f"name letters that it has, for example letters={''.join(sorted(available & set(_BASIC)))}",
                )
        size = positive_int(given, "size", 64, low=24, high=512)
        seed = positive_int(given, "seed", 0, low=0, high=2**31 - 1)
        clips = positive_int(given, "clips", 4000, low=1, high=10_000_000)
        spec = f"fingerspelling:language={'+'.join(languages)},letters={''.join(letters)},size={size}"
        if seed:
            spec += f",seed={seed}"
        if "clips" in given:
            spec += f",clips={clips}"
        return cls(languages=languages, letters=letters, size=size, seed=seed, clips=clips, spec=spec)

    @property
    def vocabulary(self) -> Vocabulary:
        """The letters, in alphabetical order."""
        return Vocabulary(glosses=tuple(sorted(self.letters)))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.size, self.size

    @cached_property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The disjoint word lists."""
        words = split_words(self.letters)
        if min(len(words[name]) for name in ("train", "dev", "test")) == 0:
            raise BadInputError(
                f"letters {''.join(self.letters)} spell too few words to split",
                hint=f"take more letters, for example letters={TEN_LETTERS}",
            )
        return words

    def split(self, name: str) -> FingerspellingSplit:
        """The split of that name; ``train`` here holds each training word once, as for evaluation.

        Raises:
            BadInputError: an unknown name.
        """
        if name not in self.split_names:
            raise BadInputError(f"unknown split {name!r}", hint=f"known: {', '.join(self.split_names)}")
        if name == "test-signers":
            return self._of_signers()
        return self._spelled(
            name,
            [
                Utterance(
                    letters=tuple(word),
                    language=self.languages[i % len(self.languages)],
                    key=(self.seed, spelling.VERSION, zlib.crc32(name.encode()), i),
                )
                for i, word in enumerate(self.words[name])
            ],
        )

    def training_epoch(self, epoch: int, *, seed: int, difficulty: float = 1.0) -> FingerspellingSplit:
        """Training clips of one epoch: words, parts of words and strings of letters, new variations each time.

        Parts and strings keep a network from learning the few hundred words by heart; none of them equals a word
        of ``dev`` or ``test``. ``difficulty`` caps the length, so that single letters and short strings come first.
        """
        held_out = {*self.words["dev"], *self.words["test"]}
        longest = max(1, round(difficulty * max(len(word) for word in self.words["train"])))
        stream = (self.seed, spelling.VERSION, zlib.crc32(b"train"), seed, epoch)

        def utterance(index: int) -> Utterance:
            rng = np.random.default_rng(np.random.SeedSequence((*stream, index, 0)))
            letters = self._draw(rng, longest)
            while "".join(letters) in held_out:
                letters = self._draw(rng, longest)
            language = self.languages[int(rng.integers(len(self.languages)))]
            return Utterance(letters=letters, language=language, key=(*stream, index, 1))

        return FingerspellingSplit(
            name="train", clips=self.clips, utterance=utterance, vocabulary=self.vocabulary, size=self.size
        )

    def _draw(self, rng: np.random.Generator, longest: int) -> tuple[str, ...]:
        words = self.words["train"]
        word = words[int(rng.integers(len(words)))]
        if rng.random() < 0.5:
            if len(word) > longest:
                start = int(rng.integers(len(word) - longest + 1))
                word = word[start : start + longest]
            return tuple(word)
        length = int(rng.integers(1, min(longest, 5) + 1))
        letters = [self.letters[int(rng.integers(len(self.letters)))] for _ in range(length)]
        if length > 1 and rng.random() < 0.25:  # doubled letters are rare in words, and are what CTC finds hard
            at = int(rng.integers(length - 1))
            letters[at + 1] = letters[at]
        return tuple(letters)

    def _spelled(self, name: str, utterances: list[Utterance]) -> FingerspellingSplit:
        return FingerspellingSplit(
            name=name,
            clips=len(utterances),
            utterance=utterances.__getitem__,
            vocabulary=self.vocabulary,
            size=self.size,
        )

    @cached_property
    def signer_alphabets(self) -> tuple[SignerAlphabet, ...]:
        """Alphabets never trained on, with the letters whose handshape a training alphabet shares."""
        return shared_alphabets(self.languages, self.letters)

    def _of_signers(self) -> FingerspellingSplit:
        utterances: list[Utterance] = []
        crc = zlib.crc32(b"test-signers")
        everything = [word for name in ("test", "dev", "train") for word in self.words[name]]
        for alphabet in self.signer_alphabets:
            can = set(alphabet.letters)
            spelled = [word for word in everything if set(word) <= can][:20]
            # Few shared letters spell few words: every shared letter is then shown alone, twice.
            for i, letters in enumerate([*spelled, *alphabet.letters, *alphabet.letters]):
                key = (self.seed, spelling.VERSION, crc, zlib.crc32(alphabet.language.encode()), i)
                utterances.append(Utterance(letters=tuple(letters), language=alphabet.language, key=key))
        return self._spelled("test-signers", utterances)

    def fingerprint(self) -> str:
        """SHA-256 over options, versions of movement and drawing, word lists and the recordings' hashes."""
        document = {
            "spec": self.spec,
            "spelling": spelling.VERSION,
            "rendering": rendering.VERSION,
            "words": self.words,
            "recordings": {
                f"{language}/{letter}": recording_sha256(language, letter)
                for language in self.languages
                for letter in self.letters
            },
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def statistics(self) -> dict[str, object]:
        """Clips, frames, letters and output steps of every split, and how many clips CTC could not align."""
        splits: dict[str, object] = {}
        for name in self.split_names:
            split = self.split(name)
            frames, letters, infeasible = [], [], 0
            for i in range(len(split)):
                clip = split[i]
                frames.append(len(clip.frames))
                letters.append(len(clip.labels))
                infeasible += required_steps(clip.labels) > output_length(len(clip.frames), _STRIDE)
            splits[name] = {
                "clips": len(split),
                "frames_min_median_max": _spread(frames),
                "letters_min_median_max": _spread(letters),
                "output_steps_min_median_max": _spread([output_length(n, _STRIDE) for n in frames]),
                "frames_per_letter": round(sum(frames) / max(1, sum(letters)), 2),
                "not_alignable_at_stride_4": infeasible,
            }
        return {
            "corpus": self.spec,
            "fingerprint": self.fingerprint(),
            "vocabulary": list(self.vocabulary.glosses),
            "words": {name: len(words) for name, words in self.words.items()},
            "signers_held_out": {a.language: "".join(a.letters) for a in self.signer_alphabets},
            "recordings_from": f"spoken-to-signed {importlib.metadata.version('spoken-to-signed')}",
            "splits": splits,
        }


def _spread(values: list[int]) -> list[int]:
    return [min(values), int(np.median(values)), max(values)] if values else []


def _letters(text: str) -> tuple[str, ...]:
    if text.isdecimal():
        count = int(text)
        if not 2 <= count <= len(_BASIC):
            raise BadInputError(f"letters={text} is not in 2..{len(_BASIC)}", hint="or name them: letters=ABCDE")
        return tuple(TEN_LETTERS) if count == len(TEN_LETTERS) else tuple(_BASIC[:count])
    letters = tuple(dict.fromkeys(text.upper()))
    if len(letters) < 2 or any(letter not in _BASIC for letter in letters):
        raise BadInputError(f"letters={text!r} is neither a count nor letters of A-Z", hint="for example letters=ABCDE")
    return letters
