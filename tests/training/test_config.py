import pytest

from slrbench.data import open_corpus
from slrbench.errors import BadInputError
from slrbench.training.config import load_preset, preset_names


def test_every_preset_is_whole_and_names_a_corpus_that_opens():
    assert {"smoke", "demo", "full"} <= set(preset_names())
    for name in preset_names():
        config = load_preset(name)
        assert config.preset == name
        corpus = open_corpus(config.data)
        for role in ("teacher", "student"):
            assert config.network(role).spec(role, corpus.vocabulary.num_classes).architecture == role


def test_any_field_can_be_set_by_text():
    config = load_preset(
        "demo", ["teacher.width=0.5", "train_student.steps=7", "data=fingerspelling:size=24", "seed=3"]
    )
    assert config.teacher.width == 0.5
    assert config.train_student.steps == 7
    assert config.data == "fingerspelling:size=24"
    assert config.seed == 3
    assert config.student == load_preset("demo").student


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("teacher.width=wide", "teacher.width='wide' does not fit"),
        ("teacher.widht=1", "teacher.widht='1' does not fit: Extra inputs"),
        ("train_teacher.steps=0", "train_teacher.steps='0' does not fit"),
        ("teacher", "is not field=value"),
        ("a.b.c=1", "is not field=value"),
        ("foo.bar=1", "unknown section or field 'foo'"),
        ("seed.x=1", "'seed' has no fields"),
        ("data.x=1", "'data' has no fields"),
        ("distillation.alpha=1.5", "distillation.alpha='1.5' does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(setting, words):
    preset = "demo"
    with pytest.raises(BadInputError) as caught:
        load_preset(preset, ["seed=1", setting] if setting.startswith("seed.") else [setting])
    assert words in caught.value.message


def test_an_unknown_preset_is_refused():
    with pytest.raises(BadInputError, match="unknown preset 'ful'"):
        load_preset("ful")
