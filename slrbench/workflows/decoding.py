"""The decoder that ``slrbench evaluate`` was asked for, with a language model from the corpus or from a file."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slrbench.data.corpus import Corpus, Vocabulary, glosses_of
from slrbench.decoding import Decoder, NgramModel, parse_decoder
from slrbench.errors import BadInputError, UnreadableClipError
from slrbench.records import Record

LM_WEIGHT = 0.5
"""Weight of a language model where none is asked for."""


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """As the command line gives them."""

    decoder: str = "greedy"
    lm: str | None = None
    """Order of an n-gram model of the corpus's training split, or a file that holds one."""
    lm_weight: float | None = None
    insertion_bonus: float = 0.0
    prune: float | None = None
    save_lm: Path | None = None


GREEDY = DecoderOptions()


class LanguageModelFigures(Record):
    """What is known of the language model that took part."""

    name: str
    order: int
    perplexity: float | None
    """On the references, 1 .. ; words without a class are left out. None where no word is left."""
    words: int
    """How many words it was measured on."""


def make_decoder(options: DecoderOptions, corpus: Corpus, vocabulary: Vocabulary) -> Decoder:
    """A decoder over the classes of ``vocabulary``; the language model is written where that was asked for.

    Raises:
        BadInputError: the decoder is unknown, options contradict each other, the file is no language model over this
            vocabulary, or the corpus has no training split to count.
    """
    beam = parse_decoder(options.decoder)
    if beam is None:
        _require_nothing_else(options)
        return Decoder()
    if options.lm is None and (options.lm_weight is not None or options.save_lm is not None):
        raise BadInputError("there is no language model to weigh or to save", hint="--lm 3 makes one")
    model = None if options.lm is None else _language_model(options.lm, corpus, vocabulary)
    if model is not None and options.save_lm is not None:
        model.write(options.save_lm)
    return Decoder(
        beam=beam,
        language_model=model,
        lm_name=options.lm or "",
        lm_weight=0.0 if model is None else LM_WEIGHT if options.lm_weight is None else options.lm_weight,
        insertion_bonus=options.insertion_bonus,
        prune=math.inf if options.prune is None else options.prune,
    )


def figures_of(
    decoder: Decoder, vocabulary: Vocabulary, references: Sequence[Sequence[str]]
) -> LanguageModelFigures | None:
    """Perplexity of the decoder's language model on references; None where it has none."""
    model = decoder.language_model
    if not isinstance(model, NgramModel):
        return None
    known = [labels for labels in map(vocabulary.encode_known, references) if labels]
    return LanguageModelFigures(
        name=decoder.lm_name,
        order=model.order,
        perplexity=model.perplexity(known) if known else None,
        words=sum(map(len, known)),
    )


def _require_nothing_else(options: DecoderOptions) -> None:
    given = {
        "--lm": options.lm,
        "--lm-weight": options.lm_weight,
        "--insertion-bonus": options.insertion_bonus or None,
        "--prune": options.prune,
        "--save-lm": options.save_lm,
    }
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise BadInputError(f"{wrong[0]} does not go with greedy decoding", hint="--decoder beam:10")


def _language_model(text: str, corpus: Corpus, vocabulary: Vocabulary) -> NgramModel:
    if not text.isdecimal():
        model = NgramModel.read(Path(text))
        if model.glosses != vocabulary.glosses:
            raise BadInputError(
                f"{text} is a language model of {len(model.glosses)} glosses, which are not the network's "
                f"{len(vocabulary.glosses)}",
                hint="--lm 3 counts the corpus's training split",
            )
        return model
    if "train" not in corpus.split_names:
        raise BadInputError(
            f"there is no training split here to count n-grams in, only {', '.join(corpus.split_names)}",
            hint="--lm FILE takes what --save-lm FILE wrote where the corpus is",
        )
    return NgramModel.train(_training_labels(corpus, vocabulary), glosses=vocabulary.glosses, order=int(text))


def _training_labels(corpus: Corpus, vocabulary: Vocabulary) -> Iterator[tuple[int, ...]]:
    split = corpus.split("train")
    for index in range(len(split)):
        try:
            glosses = glosses_of(split, index)
        except UnreadableClipError:
            continue  # what the clip shows is not known without it
        yield vocabulary.encode_known(glosses)
