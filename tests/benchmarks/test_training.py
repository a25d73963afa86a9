"""The baseline computes what our model computes, both are given the same tokens, and the benchmarks run."""

import embedding_gradient
import loader
import nanogpt
import numpy as np
import pytest
import token_corpus
import torch
import train_step

from webtext.model.data import Corpus, Windows
from webtext.model.gpt2 import GPT2
from webtext.model.settings import GPT2Config
from webtext.schemas.vocabulary import END_OF_TEXT

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return token_corpus.write(tmp_path_factory.mktemp("tokens"), 20_000)


def test_the_corpus_is_one_that_we_read(corpus, tmp_path):
    windows = Windows(Corpus.open(corpus), "train", 32)
    flat = np.fromfile(token_corpus.flat(corpus, tmp_path / "train.bin"), np.uint16)
    assert flat.size == windows.tokens > 19_000
    assert flat[token_corpus.DOCUMENT - 1] == END_OF_TEXT
    assert (windows.read(np.array([0, 1]))[1] == flat[32:65]).all()
    assert len(Windows(Corpus.open(corpus), "val", 32)) > 10


def test_equal_weights_give_equal_losses_and_gradients():
    torch.manual_seed(0)
    ours, theirs = GPT2(CONFIG), nanogpt.PlainGPT(CONFIG)
    with torch.no_grad():
        for parameter in ours.parameters():  # biases and gains too, but not the padding
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
        ours.wte.weight[CONFIG.n_vocab :] = 0
    theirs.load_ours(ours)
    ids = torch.randint(CONFIG.n_vocab, (2, 33))
    logits, loss = theirs(ids[:, :-1], ids[:, 1:])
    torch.testing.assert_close(logits[..., : CONFIG.n_vocab], ours(ids[:, :-1]), atol=1e-5, rtol=0)
    mean = ours.loss(ids[:, :-1], ids[:, 1:]) / ids[:, 1:].numel()
    # The padding's 47 logits of 0 take part in the plain softmax: about ln(1 + 47 / 50,257) more.
    assert loss.item() - mean.item() == pytest.approx(47 / 50_257, abs=5e-4)
    mean.backward()
    loss.backward()
    torch.testing.assert_close(
        theirs.transformer.h[0].attn.c_attn.weight.grad, ours.h[0].attn.c_attn.weight.grad, atol=1e-5, rtol=1e-2
    )


def test_accumulation_is_the_gradient_of_the_whole_batch():
    torch.manual_seed(0)
    whole, parts = nanogpt.PlainGPT(CONFIG), nanogpt.PlainGPT(CONFIG)
    parts.load_state_dict(whole.state_dict())
    ids = torch.randint(CONFIG.n_vocab, (4, 33))
    off = torch.autocast("cpu", torch.bfloat16, enabled=False)
    losses = []
    for model, rows in ((whole, 4), (parts, 1)):
        batches = iter(torch.split(ids, rows))
        optimizer = nanogpt.configure_optimizer(model, 1e-3, 0.1, "cpu")
        loss = nanogpt.train_step(
            model, model, optimizer,
            lambda batches=batches: ((part := next(batches))[:, :-1], part[:, 1:]),
            accumulation=4 // rows, autocast=off,
        )  # fmt: skip
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    one, other = whole.transformer.h[0].mlp.c_fc.weight, parts.transformer.h[0].mlp.c_fc.weight
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def figures(line):
    return [float(cell.replace(",", "")) for cell in line.strip("| ").split(" | ")[1:4]]


def test_loader_prints_a_table(capsys, corpus, monkeypatch):
    monkeypatch.setattr(loader, "SHAPES", ((2, 16), (3, 8)))
    loader.main(["--data", str(corpus), "--rounds", "3", "--block", "2"])
    rows = [figures(line) for line in capsys.readouterr().out.splitlines()[-2:]]
    assert all(value > 0 for row in rows for value in row)


def test_train_step_prints_a_table(capsys, corpus):
    train_step.main(["--data", str(corpus), "--shapes", "test", "--steps", "4"])
    line = capsys.readouterr().out.splitlines()[-1]
    assert all(value > 0 for value in figures(line))
    assert float(line.strip("| ").split(" | ")[-1]) < 1e-4


def test_embedding_gradient_prints_a_table(capsys):
    embedding_gradient.main(["--width", "8", "--tokens", "16", "--rounds", "2"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["first", "next"]
    assert all(float(cell) > 0 for row in rows for cell in row[1:])
