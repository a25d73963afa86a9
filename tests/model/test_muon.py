"""Muon against a plain transcription of its source, one matrix at a time."""

import pytest
import torch

from webtext.model.gpt2 import GPT2, GPT2Config
from webtext.model.muon import Muon, orthogonalised
from webtext.model.optim import optimizers, step_all
from webtext.model.settings import TrainSettings


@pytest.mark.parametrize("shape", [(6, 6), (24, 6), (6, 24)])
def test_singular_values_go_to_one_and_vectors_stay(shape):
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    for before, after in zip(matrices, orthogonalised(matrices, steps=10), strict=True):
        values = torch.linalg.svdvals(after)
        assert 0.6 < values.min() <= values.max() < 1.3
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        inner = u.T @ after @ v.T
        assert (inner - inner.diag().diag()).abs().max() < 1e-4


def keller(gradient, momentum, rows_over_columns):
    """github.com/KellerJordan/Muon, muon_update, in float32."""
    x = gradient + 0.95 * momentum
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        b = -4.7750 * a + 2.0315 * a @ a
        x = 3.4445 * x + b @ x
    return (x.T if transposed else x) * max(1, rows_over_columns) ** 0.5


def test_two_steps_are_those_of_the_source():
    random = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=random) for shape in ((8, 8), (32, 8), (8, 32), (24, 8))]
    ours = [torch.nn.Parameter(w.clone()) for w in weights]
    muon = Muon(ours, lr=0.02, decay=0.5)
    momenta = [torch.zeros_like(w) for w in weights]
    for _ in range(2):
        for weight, parameter, momentum in zip(weights, ours, momenta, strict=True):
            gradient = torch.randn(weight.shape, generator=random)
            parameter.grad = gradient
            momentum.mul_(0.95).add_(gradient)
            weight.mul_(1 - 0.02 * 0.5)
            parts = 3 if weight.shape == (24, 8) else 1
            for g, m, w in zip(gradient.chunk(parts), momentum.chunk(parts), weight.chunk(parts), strict=True):
                w.sub_(0.02 * keller(g, m, g.shape[0] / g.shape[1]))
        muon.step()
    for weight, parameter in zip(weights, ours, strict=True):
        torch.testing.assert_close(parameter.detach(), weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_moves_once_and_a_skipped_step_moves_nothing(name):
    torch.manual_seed(0)
    model = GPT2(GPT2Config(n_layer=1, n_head=1, n_embd=8, n_ctx=8, n_vocab=10))
    settings = TrainSettings(optimizer=name, warmup=0)
    updates = optimizers(model, settings)
    held = [p for optimizer in updates for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))

    def step(skip):
        model.loss(torch.arange(8)[None], torch.arange(1, 9)[None]).backward()
        step_all(updates, 0, settings, torch.tensor(skip))
        state = [t.clone() for o in updates for p in held for t in o.state.get(p, {}).values()]
        return [p.detach().clone() for p in model.parameters()] + state

    first = step(0.0)
    assert all(torch.equal(a, b) for a, b in zip(first, step(1.0), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first[:10], step(0.0)[:10], strict=True))
