"""The model against Hugging Face's, which shares no code with it."""

import math
from dataclasses import replace

import pytest
import torch

from webtext.model.gpt2 import GPT2, SIZES, GPT2Config, KeyValues, from_hf_state, padded, parameter_count, to_hf_state

PUBLISHED = {
    "gpt2-124m": 124_439_808,
    "gpt2-355m": 354_823_168,
    "gpt2-774m": 774_030_080,
    "gpt2-1558m": 1_557_611_200,
}


def test_every_size_has_its_published_count():
    assert SIZES.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameter_counts_are_the_published_ones(size):
    with torch.device("meta"):  # shapes without memory
        model = GPT2(SIZES[size])
    assert parameter_count(model) == PUBLISHED[size]
    assert model.wte.weight.shape == (50_304, SIZES[size].n_embd)


def hf_model(config, **options):
    from transformers import GPT2Config as HFConfig
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"vocab_size": config.n_vocab, "n_positions": config.n_ctx, "n_embd": config.n_embd}
    model = GPT2LMHeadModel(HFConfig(**shape, n_layer=config.n_layer, n_head=config.n_head, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # far from the initial values, biases and gains too
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def ours(config, hf_state):
    model = GPT2(config).eval()
    model.load_state_dict(from_hf_state(hf_state))
    return model


CONFIGS = [
    GPT2Config(n_layer=2, n_head=4, n_embd=32, n_ctx=24, n_vocab=300),
    GPT2Config(n_layer=3, n_head=1, n_embd=20, n_ctx=16, n_vocab=128),
    GPT2Config(n_layer=1, n_head=5, n_embd=40, n_ctx=64, n_vocab=1),
]

# The widths and heads of the published sizes. One layer and few tokens: more of them only cost time.
PUBLISHED_WIDTHS = [
    pytest.param(replace(config, n_layer=1, n_ctx=32, n_vocab=500), id=size) for size, config in SIZES.items()
]


@pytest.mark.parametrize("config", [*CONFIGS, *PUBLISHED_WIDTHS], ids=str)
def test_logits_equal_hugging_face(config):
    theirs = hf_model(config)
    ids = torch.randint(config.n_vocab, (3, config.n_ctx))
    with torch.no_grad():
        torch.testing.assert_close(ours(config, theirs.state_dict())(ids), theirs(ids).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_weights_survive_the_way_to_hugging_face_and_back(config):
    model = GPT2(config)
    exported = to_hf_state(model.state_dict(), config.n_vocab)
    assert exported["transformer.wte.weight"].shape == (config.n_vocab, config.n_embd)
    theirs = hf_model(config)
    missing, unexpected = theirs.load_state_dict(exported, strict=False)
    assert (missing, unexpected) in (([], []), (["lm_head.weight"], []))
    theirs.tie_weights()
    ids = torch.randint(config.n_vocab, (2, config.n_ctx))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-4, rtol=0)
    back = from_hf_state(exported)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


def test_foreign_states_are_refused():
    theirs = hf_model(CONFIGS[0]).state_dict()
    with pytest.raises(ValueError, match="one matrix for both"):
        from_hf_state(theirs | {"lm_head.weight": theirs["lm_head.weight"] + 1})
    with pytest.raises(ValueError, match=r"no wte\.weight"):
        from_hf_state({"model.embed_tokens.weight": torch.zeros(2, 2)})


def test_masks_in_old_files_are_dropped():
    theirs = hf_model(CONFIGS[0]).state_dict()
    buffers = {"transformer.h.0.attn.bias": torch.ones(1), "transformer.h.0.attn.masked_bias": torch.ones(1)}
    assert from_hf_state(theirs | buffers).keys() == from_hf_state(theirs).keys()


def test_initial_weights():
    torch.manual_seed(0)
    config = GPT2Config(n_layer=8, n_head=4, n_embd=128, n_ctx=64, n_vocab=1000)
    for name, parameter in GPT2(config).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif ".ln_" in name or name.startswith("ln_"):
            assert (parameter == 1).all(), name
        else:
            std = 0.02 / math.sqrt(2 * 8) if name.endswith("c_proj.weight") else 0.02
            assert parameter[:1000].std().item() == pytest.approx(std, rel=0.05), name


def test_padding_of_the_vocabulary_stays_zero_and_unseen():
    assert padded(50_257) == 50_304
    assert padded(128) == 128
    torch.manual_seed(0)
    model = GPT2(GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8, n_vocab=130))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        ids = torch.randint(130, (2, 9))
        assert model(ids[:, :-1]).shape == (2, 8, 130)
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
    assert model.wte.weight.shape == (256, 8)
    assert not model.wte.weight[130:].any()
    assert model.wte.weight[:130].all()


def test_the_past_changes_nothing_but_the_cost():
    torch.manual_seed(0)
    model = GPT2(CONFIGS[0]).eval()
    ids = torch.randint(300, (2, 24))
    past = [KeyValues() for _ in model.h]
    with torch.no_grad():
        pieces = [model.hidden(ids[:, a:b], past) for a, b in ((0, 5), *((t, t + 1) for t in range(5, 24)))]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model.hidden(ids), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="context of 25 tokens, the model takes 24"):
        model.hidden(ids[:, :1], past)


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="n_embd is 10, which n_head 3 does not divide"):
        GPT2Config(n_embd=10, n_head=3)
    with pytest.raises(ValueError, match="n_layer is 0"):
        GPT2Config(n_layer=0)
    with pytest.raises(ValueError, match=r"dropout is 1\.0"):
        GPT2Config(dropout=1.0)
