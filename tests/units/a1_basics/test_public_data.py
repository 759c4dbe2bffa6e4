"""The presets that name public data can be had: `make data`, then programs whose names fit one another."""

from a1_basics import configs, studies
from shared.corpora.catalog import dataset


def test_stories_go_from_the_catalog_to_the_training_run() -> None:
    tokenizer, encode = configs.TRAIN_TOKENIZER["one_gpu"], configs.ENCODE["one_gpu"]
    assert dataset(tokenizer.corpus).becomes == "Corpus"
    assert {source.split for source in dataset(tokenizer.corpus).files} == {"train", "val"}
    assert encode.corpus == tokenizer.corpus
    assert encode.tokenizer == tokenizer.name
    assert configs.one_gpu().shards == studies.one_gpu_study()["shards"] == encode.name


def test_the_largest_preset_reads_a_data_set_of_the_catalog() -> None:
    assert dataset(configs.gpt2_124m().shards).becomes == "Corpus"
