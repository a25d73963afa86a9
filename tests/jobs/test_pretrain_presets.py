"""The shipped presets of `webtext pretrain`: they parse, their shapes are the published ones, their figures fit."""

import pytest

from webtext.jobs.config import known_presets, parse
from webtext.jobs.pretrain import PretrainConfig
from webtext.model.settings import SIZES, GPT2Config


def preset(name):
    return parse(PretrainConfig, "pretrain", ["--config", name, "--data=corpus", "--out=run"], "webtext pretrain")


def test_presets_are_these():
    assert known_presets("pretrain") == ["gpt", *sorted(SIZES), "nanogpt-124m", "tiny"]


@pytest.mark.parametrize("size", SIZES)
def test_a_size_has_its_published_shape(size):
    assert preset(size).model == SIZES[size]


def test_other_shapes():
    assert preset("nanogpt-124m").model == SIZES["gpt2-124m"]
    assert preset("gpt").model == GPT2Config(n_ctx=512, dropout=0.1)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("gpt", 98.5e9),  # 100 times 985 M
        ("gpt2-124m", 10e9),
        ("gpt2-355m", 30e9),
        ("gpt2-774m", 150e9),
        ("gpt2-1558m", 32e9),
        ("nanogpt-124m", 294.912e9),  # 600,000 x 491,520
    ],
)
def test_tokens_of_a_run(name, tokens):
    train = preset(name).train
    assert train.steps * train.batch_tokens == pytest.approx(tokens, rel=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_warm_up_is_375_million_tokens(size):
    train = preset(size).train
    assert abs(train.warmup * train.batch_tokens - 375e6) < train.batch_tokens


@pytest.mark.parametrize("name", known_presets("pretrain"))
def test_batches_are_whole(name):
    config = preset(name)
    windows, rest = divmod(config.train.batch_tokens, config.model.n_ctx)
    assert rest == 0
    assert windows % config.train.micro_batch == 0, "the last micro-batch would be a smaller shape, compiled anew"
    if name not in ("gpt", "nanogpt-124m", "tiny"):
        assert windows % (8 * config.train.micro_batch) == 0, "8 GPUs would not share a batch evenly"
