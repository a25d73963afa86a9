"""What decides the shape and the training of a model. Standard library only, so that `--help` costs nothing."""

from dataclasses import dataclass
from typing import Final, Literal


def _at_least(least: int, name: str, value: float) -> None:
    if not value >= least:  # so that NaN is refused too
        raise ValueError(f"{name} is {value}, allowed is {least} or more")


@dataclass(frozen=True)
class GPT2Config:
    """Shape of a GPT-2, in the field's own names. The defaults are the smallest published size."""

    n_layer: int = 12
    """Transformer blocks."""
    n_head: int = 12
    """Attention heads of a block; must divide n_embd."""
    n_embd: int = 768
    """Width of the residual stream."""
    n_ctx: int = 1024
    """Longest context in tokens, and the length of a training window."""
    n_vocab: int = 50_257
    """Token ids. The model pads them to a multiple of 128 inside, which no reader of its logits sees."""
    dropout: float = 0.0
    """Probability to drop an activation (embedding, attention, residual) while training, 0 to below 1."""

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "n_ctx", "n_vocab"):
            _at_least(1, name, getattr(self, name))
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd is {self.n_embd}, which n_head {self.n_head} does not divide")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, allowed is 0 to below 1")


SIZES: Final = {
    "gpt2-124m": GPT2Config(),
    "gpt2-355m": GPT2Config(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-774m": GPT2Config(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-1558m": GPT2Config(n_layer=48, n_head=25, n_embd=1600),
}


@dataclass(frozen=True)
class TrainSettings:
    """How to train. The defaults are the recipe of GPT-3's smallest model (arXiv 2005.14165), on 10 B tokens."""

    steps: int = 19_073
    """Updates of the weights in all; the run sees steps * batch_tokens tokens."""
    batch_tokens: int = 524_288
    """Tokens of one update, a multiple of n_ctx: the only batch size that matters for the result."""
    micro_batch: int = 16
    """Most windows in one forward pass. Halved on cuda until it fits; gradients add up to the same batch."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the matrices of the blocks, AdamW for embeddings and vectors."""
    lr: float = 6e-4
    """Highest learning rate, reached after the warm-up."""
    muon_lr: float = 0.02
    """Highest learning rate of Muon's matrices; rises and falls with lr."""
    min_lr_ratio: float = 0.1
    """Last learning rate as a share of lr: the end of the cosine."""
    warmup: int = 715
    """Steps over which the learning rate climbs from 0."""
    weight_decay: float = 0.1
    """AdamW weight decay, of matrices only."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    spike_sigma: float = 6.0
    """A step is skipped when its loss or the norm of its gradient is this many standard deviations above the last 128;
    0 to skip only what is not finite."""
    max_nonfinite: int = 10
    """Steps in a row without a finite loss and gradient that end the run; each is skipped."""
    skip_steps: tuple[int, ...] = ()
    """Steps to pass, counted from 1, such as those that ended a run."""
    mask_documents: bool = False
    """Attention stays within a document. GPT-2 was trained without."""
    eval_every: int = 250
    """Steps between two validations; 0 for none. The last step is always validated."""
    eval_windows: int = 640
    """Validation windows that count, from the first, so that the set is fixed; 0 for all."""
    checkpoint_every: int = 500
    """Steps between two checkpoints; 0 for one at the end or at a signal only."""
    keep: int = 2
    """Newest checkpoints that stay on the disk."""
    seed: int = 1337
    """Of the first weights, the order of the windows and dropout."""
    device: str = "auto"
    """PyTorch device, such as cpu, cuda or cuda:1; auto takes cuda where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; weights stay float32. auto: bfloat16 on cuda, float32 elsewhere."""
    compile: bool = False
    """Compile the model with torch.compile: faster steps on cuda after a minute of compilation."""
    attention: Literal["auto", "flash", "cudnn", "efficient", "math"] = "auto"
    """Attention kernels on cuda. auto measures those that agree with math and takes the fastest."""
    loss_chunk: int = 0
    """Tokens whose logits are in memory at once; 0 chooses: 256 on cpu, all with compile, 8,192 elsewhere."""
    recompute: bool = False
    """Keep no activations of a block but its input, and compute them again: a third more work, far less memory."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: ddp has the whole model on each rank; fsdp cuts weights, gradients and optimizer over them."""
    log_every: int = 10
    """Steps between two moments when losses come from cuda to the log. The log has each step anyway."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_tokens", "micro_batch", "keep", "log_every", "max_nonfinite"):
            _at_least(1, name, getattr(self, name))
        _at_least(1, "skip_steps", min(self.skip_steps, default=1))
        for name in (
            "lr", "muon_lr", "warmup", "weight_decay", "clip", "spike_sigma", "eval_every", "eval_windows",
            "checkpoint_every", "seed", "loss_chunk",
        ):  # fmt: skip
            _at_least(0, name, getattr(self, name))
        if self.seed >= 2**63:
            raise ValueError(f"seed is {self.seed}, allowed is 0 to below 2**63")
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio is {self.min_lr_ratio}, allowed is 0 to 1")


# A run may go on with other values of these: where, how often and by which kernels, what is judged and how fast to
# learn. Each change is recorded. Every other field makes another experiment.
FREE_TO_CHANGE: Final = frozenset(
    f"train.{name}"
    for name in (
        "micro_batch", "checkpoint_every", "keep", "device", "compile", "attention", "loss_chunk", "recompute",
        "parallel", "log_every", "eval_every", "eval_windows", "clip", "spike_sigma", "max_nonfinite", "skip_steps",
        "lr", "muon_lr", "min_lr_ratio", "warmup",
    )
)  # fmt: skip
FREE_TO_GROW: Final = "train.steps"  # which stretches the cosine too
