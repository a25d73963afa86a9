"""Settings, their presets, and that help costs no torch."""

import sys

import pytest
from processes import finished

from webtext.jobs.config import parse
from webtext.jobs.pretrain import PretrainConfig
from webtext.model.settings import FREE_TO_CHANGE, SIZES, GPT2Config, TrainSettings


def preset(name):
    return parse(PretrainConfig, "pretrain", ["--config", name, "--data", "d", "--out", "o"], "webtext pretrain")


def test_presets():
    large = preset("gpt2-124m")
    assert large.model == SIZES["gpt2-124m"]
    assert (large.train.batch_tokens, large.train.lr, large.train.warmup, large.train.compile) == (
        2**19,
        6e-4,
        715,
        True,
    )
    tiny = preset("tiny")
    assert tiny.train.batch_tokens % tiny.model.n_ctx == 0
    assert tiny.train.dtype == "auto"


def test_a_flag_wins_over_the_preset():
    args = ["--config", "tiny", "--data", "d", "--out", "o", "--train.lr", "0.5", "--model.n-layer", "1"]
    config = parse(PretrainConfig, "pretrain", args, "webtext pretrain")
    assert (config.train.lr, config.model.n_layer, config.model.n_ctx) == (0.5, 1, preset("tiny").model.n_ctx)


def test_free_fields_exist():
    fields = {f"train.{name}" for name in TrainSettings.__dataclass_fields__}
    assert fields | {f"model.{name}" for name in GPT2Config.__dataclass_fields__} > FREE_TO_CHANGE


def test_help_imports_no_torch():
    code = "import sys, webtext.jobs.pretrain, webtext.jobs.sample; sys.exit('torch' in sys.modules)"
    assert finished([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"micro_batch": 0}, "micro_batch is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"min_lr_ratio": 1.5}, r"min_lr_ratio is 1\.5"),
        ({"eval_every": -1}, "eval_every is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainSettings(**options)
