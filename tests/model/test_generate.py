"""Sampling against Hugging Face's greedy search and against arithmetic."""

import pytest
import torch

from webtext.model.generate import generate, pick
from webtext.model.gpt2 import GPT2, GPT2Config, to_hf_state

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=32, n_ctx=32, n_vocab=211)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = GPT2(CONFIG).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # initial weights would repeat the last token for ever
            parameter.add_(torch.randn_like(parameter), alpha=1.0 if name.startswith("wpe") else 0.2)
        model.wte.weight[CONFIG.n_vocab :] = 9.0  # the padding is never sampled, even where it would win
    return model


def test_greedy_equals_hugging_face(model):
    from transformers import GPT2Config as HFConfig
    from transformers import GPT2LMHeadModel

    shape = {"vocab_size": 211, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}
    theirs = GPT2LMHeadModel(HFConfig(**shape, bos_token_id=None, eos_token_id=None)).eval()
    theirs.load_state_dict(to_hf_state(model.state_dict(), 211), strict=False)
    theirs.tie_weights()
    expected = theirs.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=29, do_sample=False)[0, 3:].tolist()
    assert len(set(expected)) > 5
    assert generate(model, [5, 6, 7], max_tokens=29, temperature=0) == [expected]


def test_beyond_the_context_the_last_tokens_count(model):
    ids = list(range(40))  # longer than the context already
    out = generate(model, ids, max_tokens=20, temperature=0)[0]
    with torch.no_grad():
        for _ in range(20):
            ids.append(int(model(torch.tensor([ids[-32:]]))[0, -1].argmax()))
    assert out == ids[40:]


def test_equal_seeds_give_equal_texts(model):
    first = generate(model, [1], max_tokens=25, num=3, seed=7)
    assert first == generate(model, [1], max_tokens=25, num=3, seed=7)
    assert first[:2] == generate(model, [1], max_tokens=25, num=2, seed=7)
    assert first != generate(model, [1], max_tokens=25, num=3, seed=70)
    assert len({tuple(text) for text in first}) == 3
    assert all(0 <= token < 211 for text in first for token in text)


def test_each_text_stops_at_its_own_end(model):
    free = generate(model, [1], max_tokens=30, num=4, stop=-1)
    stop = free[0][10]
    cut = [text[: text.index(stop)] if stop in text else text for text in free]
    assert generate(model, [1], max_tokens=30, num=4, stop=stop) == cut


def test_pick_takes_the_likeliest_top_k_in_proportion():
    logits = torch.tensor([0.0, 1.0, 2.0, -50.0, 2.0])
    draw = torch.Generator().manual_seed(0)
    assert pick(logits, 0, 0, draw) == 2
    for temperature in (1e-37, 1e-45, 1e-46, 1e-300, 5e-324):
        assert pick(logits, temperature, 3, draw) in (2, 4)
    drawn = [pick(logits, 0.5, 3, draw) for _ in range(2000)]
    assert set(drawn) == {1, 2, 4}
    chances = torch.softmax(torch.tensor([1.0, 2.0, 2.0]) / 0.5, dim=0)
    for token, chance in zip((1, 2, 4), chances.tolist(), strict=True):
        assert drawn.count(token) / 2000 == pytest.approx(chance, abs=0.04)
    assert {pick(torch.zeros(9), 1.0, 2, draw) for _ in range(50)} <= set(torch.zeros(9).topk(2).indices.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": []}, r"len\(prompt\) is 0"),
        ({"num": 0}, "num is 0"),
        ({"temperature": -1.0}, r"temperature is -1\.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": -1}, "top_k is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63 - 1}, "seed is 9223372036854775807"),
        ({"prompt": [5, 211]}, "the prompt has token 211, the model has 211"),
    ],
)
def test_refuses(model, options, message):
    with pytest.raises(ValueError, match=message):
        generate(model, **({"prompt": [1], "max_tokens": 1} | options))


def test_weights_that_overflow_are_said():
    model = GPT2(CONFIG).eval()
    with torch.no_grad():
        model.wte.weight.fill_(3e38)
    with pytest.raises(ValueError, match="logits are not finite"):
        generate(model, [1], max_tokens=1)


def test_ids_beyond_the_vocabulary_are_not_drawn():
    model = GPT2(GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8, n_vocab=50_300)).eval()
    with torch.no_grad():
        model.ln_f.bias.fill_(1.0)
        model.wte.weight[50_257:] = 9.0  # the likeliest by far
    assert generate(model, [1], max_tokens=3, temperature=0)[0][0] < 50_257
