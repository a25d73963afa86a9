"""GPT-2, exactly: the architecture of openai/gpt-2 `src/model.py` with its names, so that weights move both ways.

Shape suffixes: B batch, T time (tokens), C width (n_embd), H heads, D width of a head, V token ids, P token ids padded.

The published code differs from the paper in one point: it does not scale the initial residual weights by
1/sqrt(2 n_layer). This model follows the paper, as Hugging Face, nanoGPT and llm.c do. Dropout is 0 unless asked for.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from webtext.model.loss import TiedGradient, embedded, summed_cross_entropy
from webtext.model.settings import SIZES, GPT2Config
from webtext.schemas.vocabulary import END_OF_TEXT

__all__ = [
    "GPT2",
    "SIZES",
    "GPT2Config",
    "KeyValues",
    "from_hf_state",
    "padded",
    "parameter_count",
    "tensor_count",
    "tensor_shapes",
    "to_hf_state",
]

LAYER_NORM_EPS: Final = 1e-5
INIT_STD: Final = 0.02

# Hugging Face keeps these as Conv1D, whose weight is the transpose of a Linear's.
_CONV1D: Final = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
_HF_PREFIX: Final = "transformer."


def padded(n_vocab: int) -> int:
    """Rows of the embedding: n_vocab rounded up to a multiple of 128, which suits matrix units (50,257 -> 50,304)."""
    return -(-n_vocab // 128) * 128


def tensor_count(config: GPT2Config) -> int:
    """Tensors of a model, without making any."""
    return 4 + 12 * config.n_layer


def tensor_shapes(config: GPT2Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of a model in its order, without making any."""
    C = config.n_embd
    yield "wte.weight", (padded(config.n_vocab), C)
    yield "wpe.weight", (config.n_ctx, C)
    matrices = {"attn.c_attn": (3 * C, C), "attn.c_proj": (C, C), "mlp.c_fc": (4 * C, C), "mlp.c_proj": (C, 4 * C)}
    for layer in range(config.n_layer):
        for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
            shape = matrices.get(part, (C,))
            yield f"h.{layer}.{part}.weight", shape
            yield f"h.{layer}.{part}.bias", shape[:1]
    yield "ln_f.weight", (C,)
    yield "ln_f.bias", (C,)


class KeyValues:
    """Keys and values of one layer for the tokens seen so far, so that the next token costs one position."""

    def __init__(self) -> None:
        self.k_BHTD: Tensor | None = None
        self.v_BHTD: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens seen so far."""
        return 0 if self.k_BHTD is None else self.k_BHTD.shape[2]

    def extend(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Add the newest tokens; returns keys and values of all."""
        if self.k_BHTD is not None and self.v_BHTD is not None:
            k_BHTD = torch.cat((self.k_BHTD, k_BHTD), dim=2)
            v_BHTD = torch.cat((self.v_BHTD, v_BHTD), dim=2)
        self.k_BHTD, self.v_BHTD = k_BHTD, v_BHTD
        return k_BHTD, v_BHTD


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.n_head = config.n_head
        self.dropout = config.dropout

    def forward(self, x_BTC: Tensor, past: KeyValues | None, mask_B1TT: Tensor | None = None) -> Tensor:
        """Each position mixes the values of itself and of those before it, or of those that the mask shows."""
        T = x_BTC.shape[1]
        q_BHTD, k_BHTD, v_BHTD = (
            part_BTC.unflatten(2, (self.n_head, -1)).transpose(1, 2) for part_BTC in self.c_attn(x_BTC).chunk(3, dim=2)
        )
        # A single query sees every key. SDPA's causal mask starts at the first key, so it would hide the past from it.
        causal = T > 1
        if past is not None:
            if causal and past.length:
                raise ValueError(f"{T} tokens after a past of {past.length}: extend the past by one token at a time")
            k_BHTD, v_BHTD = past.extend(k_BHTD, v_BHTD)
        y_BHTD = F.scaled_dot_product_attention(
            q_BHTD,
            k_BHTD,
            v_BHTD,
            attn_mask=mask_B1TT,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal and mask_B1TT is None,
        )
        y_BTC = y_BHTD.transpose(1, 2).flatten(2)
        return F.dropout(self.c_proj(y_BTC), self.dropout, self.training)


class MLP(nn.Module):
    """Two layers, four times as wide in between, with the tanh form of GELU as in the published code."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = config.dropout

    def forward(self, x_BTC: Tensor) -> Tensor:
        """The same function at each position."""
        x_BTC = self.c_proj(F.gelu(self.c_fc(x_BTC), approximate="tanh"))
        return F.dropout(x_BTC, self.dropout, self.training)


class Block(nn.Module):
    """One layer: attention and MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=LAYER_NORM_EPS)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=LAYER_NORM_EPS)
        self.mlp = MLP(config)

    def forward(self, x_BTC: Tensor, past: KeyValues | None, mask_B1TT: Tensor | None = None) -> Tensor:
        """Add both to the residual stream."""
        x_BTC = x_BTC + self.attn(self.ln_1(x_BTC), past, mask_B1TT)
        y_BTC: Tensor = x_BTC + self.mlp(self.ln_2(x_BTC))
        return y_BTC


class GPT2(nn.Module):
    """Token ids in, logits of the next token out. Initialised from PyTorch's global generator."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(padded(config.n_vocab), config.n_embd)
        self.wpe = nn.Embedding(config.n_ctx, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=LAYER_NORM_EPS)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):  # the 2 n_layer weights that add to the residual stream
                nn.init.normal_(parameter, std=INIT_STD / math.sqrt(2 * self.config.n_layer))
        # Rows of the padding get no gradient (see `logits`), so zeros stay zeros.
        nn.init.zeros_(self.wte.weight[self.config.n_vocab :])

    def hidden(
        self,
        ids_BT: Tensor,
        past: list[KeyValues] | None = None,
        *,
        mask_documents: bool = False,
        recompute: bool = False,
        tied: TiedGradient | None = None,
    ) -> Tensor:
        """The last layer's output (B, T, C), ready for `logits`.

        Args:
            ids_BT: token ids.
            past: one KeyValues per layer, extended in place; the ids follow the tokens in it.
            mask_documents: attend within a document only. Not with a past.
            recompute: keep each block's input only, and compute the rest again in the backward pass.
            tied: where the embedding's gradient meets that of the output head.

        Raises:
            ValueError: past and ids together are longer than n_ctx.
        """
        start = past[0].length if past else 0
        end = start + ids_BT.shape[1]
        if end > self.config.n_ctx:
            raise ValueError(f"context of {end} tokens, the model takes {self.config.n_ctx}: crop it to the last ones")
        positions_T = torch.arange(start, end, device=ids_BT.device)
        tokens_BTC = self.wte(ids_BT) if tied is None else embedded(self.wte.weight, ids_BT, tied)
        x_BTC: Tensor = F.dropout(tokens_BTC + self.wpe(positions_T), self.config.dropout, self.training)
        mask_B1TT = document_mask(ids_BT) if mask_documents else None
        for layer, block in enumerate(self.h):
            if recompute and torch.is_grad_enabled():
                x_BTC = checkpoint(block, x_BTC, None, mask_B1TT, use_reentrant=False)
            else:
                x_BTC = block(x_BTC, past[layer] if past else None, mask_B1TT)
        y_BTC: Tensor = self.ln_f(x_BTC)
        return y_BTC

    def logits(self, x_BTC: Tensor) -> Tensor:
        """Scores (B, T, V) by the tied embedding, without the padding: no softmax ever sees it."""
        logits_BTP = F.linear(x_BTC, self.wte.weight)
        return logits_BTP[..., : self.config.n_vocab]

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each position."""
        return self.logits(self.hidden(ids_BT))

    def loss(
        self,
        ids_BT: Tensor,
        targets_BT: Tensor,
        *,
        chunk: int = 0,
        mask_documents: bool = False,
        recompute: bool = False,
    ) -> Tensor:
        """Sum of the cross-entropies in nats, in float32: a sum, so that micro-batches add up whatever their sizes.

        With `chunk`, the logits of no more than that many tokens are in memory at once.
        """
        # On a GPU the second matrix costs nothing, and adding rows in any order would round differently each time.
        ties = chunk and ids_BT.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        tied = TiedGradient() if ties else None
        x_BTC = self.hidden(ids_BT, mask_documents=mask_documents, recompute=recompute, tied=tied)
        if chunk:
            return summed_cross_entropy(
                x_BTC.flatten(0, 1), self.wte.weight, targets_BT.flatten(), self.config.n_vocab, chunk, tied
            )
        logits_BTV = self.logits(x_BTC)
        return F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="sum")


def document_mask(ids_BT: Tensor) -> Tensor:
    """Which positions (B, 1, T, T) each position sees: itself and those before it in its document.

    A document's end-of-text belongs to it. Made on the device from the tokens alone, so the loader needs no part in it.
    """
    ends_BT = (ids_BT == END_OF_TEXT).long()
    document_BT = ends_BT.cumsum(1) - ends_BT
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return same_BTT.tril()[:, None]


def parameter_count(model: GPT2) -> int:
    """Parameters without the rows that only pad the vocabulary."""
    padding = padded(model.config.n_vocab) - model.config.n_vocab
    return sum(p.numel() for p in model.parameters()) - padding * model.config.n_embd


def from_hf_state(hf: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of a GPT2 from that of Hugging Face's GPT2Model or GPT2LMHeadModel.

    Raises:
        ValueError: the output head is not the embedding: this is no GPT-2.
    """
    state: dict[str, Tensor] = {}
    for hf_name, tensor in hf.items():
        name = hf_name.removeprefix(_HF_PREFIX)
        # Old files carry the causal mask of each layer as a buffer.
        if name.endswith((".attn.bias", ".attn.masked_bias")) or name == "lm_head.weight":
            continue
        state[name] = tensor.t().contiguous() if name.endswith(_CONV1D) else tensor
    if "wte.weight" not in state:
        raise ValueError(f"no wte.weight among {sorted(hf)[:5]} ...: this is not the state of a GPT-2")
    head_VC, wte_VC = hf.get("lm_head.weight"), state["wte.weight"]
    if head_VC is not None and not torch.equal(head_VC, wte_VC):
        raise ValueError("lm_head.weight differs from wte.weight; GPT-2 uses one matrix for both")
    n_vocab = wte_VC.shape[0]
    state["wte.weight"] = F.pad(wte_VC, (0, 0, 0, padded(n_vocab) - n_vocab))
    return state


def to_hf_state(state: Mapping[str, Tensor], n_vocab: int) -> dict[str, Tensor]:
    """State of Hugging Face's GPT2LMHeadModel as its files hold it: the tied head is stored once, as the embedding."""
    hf = {
        _HF_PREFIX + name: tensor.t().contiguous() if name.endswith(_CONV1D) else tensor
        for name, tensor in state.items()
    }
    hf[_HF_PREFIX + "wte.weight"] = state["wte.weight"][:n_vocab].contiguous()
    return hf
