"""The chunked loss against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from webtext.model.gpt2 import GPT2, GPT2Config, document_mask
from webtext.model.loss import summed_cross_entropy
from webtext.schemas.vocabulary import END_OF_TEXT


@given(tokens=st.integers(1, 20), chunk=st.integers(1, 25), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_loss_and_gradients_are_those_of_all_logits(tokens, chunk, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, 6, generator=random)
    weight = torch.randn(16, 6, generator=random)
    targets = torch.randint(13, (tokens,), generator=random)
    found, expected = [], []
    for results, loss_of in (
        (found, lambda x, w: summed_cross_entropy(x, w, targets, 13, chunk)),
        (expected, lambda x, w: F.cross_entropy((x @ w.T)[:, :13], targets, reduction="sum")),
    ):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = loss_of(*leaves)
        (loss * 0.25).backward()
        results += [loss.detach(), *(leaf.grad for leaf in leaves)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert not found[2][13:].any()  # padding learns nothing


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"recompute": True}, {"mask_documents": True}])
def test_the_gradient_of_the_tied_matrix_is_autograds_to_the_bit(dtype, options):
    torch.manual_seed(0)
    model = GPT2(GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=12, n_vocab=40))
    gradients = []
    for in_place in (True, False):
        model.zero_grad()
        for seed in (1, 2):  # micro-batches add up
            ids = torch.randint(40, (3, 13), generator=torch.Generator().manual_seed(seed))
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                if in_place:
                    loss = model.loss(ids[:, :-1], ids[:, 1:], chunk=5, **options)
                else:
                    x = model.hidden(ids[:, :-1], **options).flatten(0, 1)
                    loss = summed_cross_entropy(x, model.wte.weight, ids[:, 1:].flatten(), 40, 5)
            (loss * 0.37).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients, strict=True))
    assert not gradients[0][0][40:].any()  # padding learns nothing


def test_without_gradients_none_are_made():
    x, weight = torch.randn(3, 4), torch.randn(8, 4, requires_grad=True)
    with torch.no_grad():
        loss = summed_cross_entropy(x, weight, torch.tensor([1, 2, 3]), 8, 2)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, F.cross_entropy(x @ weight.T, torch.tensor([1, 2, 3]), reduction="sum").detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{"chunk": 5}, {"recompute": True}, {"chunk": 7, "recompute": True}])
def test_the_ways_to_save_memory_change_rounding_only(options, dtype):
    torch.manual_seed(0)
    model = GPT2(GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=12, n_vocab=40))
    ids = torch.randint(40, (3, 13))
    gradients = []
    for how in ({}, options):
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = model.loss(ids[:, :-1], ids[:, 1:], **how)
        loss.backward()
        gradients.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for plain, saving in zip(*gradients, strict=True):
        error = (plain - saving).norm() / plain.norm().clamp(min=1e-3)
        assert error < (1e-5 if dtype == torch.float32 else 2e-2)


def test_masked_documents_are_as_if_alone():
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_ctx=12)
    model = GPT2(config)
    ids = torch.tensor([[5, 6, 7, END_OF_TEXT, 8, 9, END_OF_TEXT, END_OF_TEXT, 10, 11, 12, 13]])
    masked = model.hidden(ids, mask_documents=True)
    other = ids.clone()
    other[0, [0, 1, 2]] = 99  # of the first document
    assert torch.equal(model.hidden(other, mask_documents=True)[0, 4:], masked[0, 4:])
    assert not torch.equal(model.hidden(other)[0, 4:], model.hidden(ids)[0, 4:])
    torch.testing.assert_close(model.hidden(ids[:, :4])[0], masked[0, :4])  # the first needs no mask
    seen = document_mask(ids)[0, 0]
    document = [0, 0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 3]
    assert seen.tolist() == [[k <= q and document[k] == document[q] for k in range(12)] for q in range(12)]
