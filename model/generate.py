"""Text from a model, one token after the other."""

from typing import Final

import torch
from torch import Tensor

from webtext.model.gpt2 import GPT2, KeyValues
from webtext.schemas.vocabulary import END_OF_TEXT, SIZE

# A lower temperature is taken for this one: float32 has none much lower, and only equal logits are both likely at it.
LEAST_TEMPERATURE: Final = torch.finfo(torch.float32).tiny


@torch.no_grad()
def generate(
    model: GPT2,
    prompt: list[int],
    *,
    max_tokens: int,
    num: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop: int = END_OF_TEXT,
) -> list[list[int]]:
    """Continue `prompt` in `num` ways.

    Up to n_ctx tokens, each new token costs one position thanks to the cached keys and values. Beyond, positions shift,
    so the model reads the last n_ctx tokens anew for each: slower, and exactly what it would say of them. Ids that a
    model has beyond GPT-2's vocabulary stand for no text and are not drawn.

    Args:
        model: in evaluation mode.
        prompt: at least one token of the model's; its last n_ctx count. END_OF_TEXT alone starts a new document.
        max_tokens: most tokens of a continuation.
        num: continuations. Number i draws with seed + i, whatever num is.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: sample among the top_k likeliest tokens; 0 for all.
        seed: of the draws.
        stop: token that ends a continuation, not part of it.

    Returns:
        The new tokens of each continuation.

    Raises:
        ValueError: a number is out of its range, or the model's weights give no finite logits.
    """
    for name, value in (("len(prompt)", len(prompt)), ("num", num)):
        if value < 1:
            raise ValueError(f"{name} is {value}, allowed is 1 or more")
    for name, number in (("temperature", temperature), ("top_k", top_k), ("max_tokens", max_tokens)):
        if not number >= 0:
            raise ValueError(f"{name} is {number}, allowed is 0 or more")
    if not 0 <= seed < 2**63 - num:
        raise ValueError(f"seed is {seed}, allowed is 0 to 2**63 - num")
    if not 0 <= min(prompt) <= max(prompt) < model.config.n_vocab:
        raise ValueError(f"the prompt has token {max(prompt)}, the model has {model.config.n_vocab}: it is not GPT-2's")
    device = model.wte.weight.device
    # One generator a row, and on the CPU: a draw depends on neither the device nor the other rows.
    draws = [torch.Generator().manual_seed(seed + row) for row in range(num)]
    ids_BT = torch.tensor([prompt] * num, device=device)
    out: list[list[int]] = [[] for _ in range(num)]
    going = set(range(num))
    past: list[KeyValues] = []
    for _ in range(max_tokens):
        if not past or past[0].length >= model.config.n_ctx:
            past = [KeyValues() for _ in model.h]
            fresh_BT = ids_BT[:, -model.config.n_ctx :]
        else:
            fresh_BT = ids_BT[:, -1:]
        logits_BV = model.logits(model.hidden(fresh_BT, past)[:, -1])[:, :SIZE].float().cpu()
        if not logits_BV.isfinite().all():
            raise ValueError("the model's logits are not finite: its weights are too large; take another checkpoint")
        tokens = [pick(logits_V, temperature, top_k, draw) for logits_V, draw in zip(logits_BV, draws, strict=True)]
        for row in sorted(going):
            if tokens[row] == stop:
                going.remove(row)
            else:
                out[row].append(tokens[row])
        if not going:
            break
        ids_BT = torch.cat((ids_BT, torch.tensor(tokens, device=device)[:, None]), dim=1)
    return out


def pick(logits_V: Tensor, temperature: float, top_k: int, draw: torch.Generator) -> int:
    """The next token by its logits: the likeliest at temperature 0, else drawn from the softmax of the top_k."""
    if temperature == 0:
        return int(logits_V.argmax())
    if 0 < top_k < logits_V.numel():
        # By count, not by threshold: ties at the edge must not let more than top_k in.
        logits_V, ids_K = logits_V.topk(top_k)
    else:
        ids_K = torch.arange(logits_V.numel())
    # The largest becomes 0 before the division, so that a tiny temperature can't overflow.
    chances_K = torch.softmax((logits_V - logits_V.max()) / max(temperature, LEAST_TEMPERATURE), dim=0)
    return int(ids_K[torch.multinomial(chances_K, 1, generator=draw)])
