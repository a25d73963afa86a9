"""The gradient of the tied embedding on a CPU: autograd's two matrices and their sum, and rows added in place.

    .venv/bin/python benchmarks/embedding_gradient.py [--width 768] [--tokens 256] [--rounds 9]

CPU time of the backward pass of embedding and output head, with nothing between them; the products of the head are made
in the forward pass, which is not counted. The two take turns. "first" is the first micro-batch of a step, "next" each
further one, whose gradient is added to what is there.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from webtext.model.gpt2 import padded
from webtext.model.loss import TiedGradient, embedded, summed_cross_entropy
from webtext.schemas.vocabulary import SIZE


def backward(weight_PC: nn.Parameter, ids_T: Tensor, *, in_place: bool) -> float:
    """Milliseconds of CPU time."""
    tied = TiedGradient() if in_place else None
    x_TC = F.embedding(ids_T[:-1], weight_PC) if tied is None else embedded(weight_PC, ids_T[:-1], tied)
    loss = summed_cross_entropy(x_TC, weight_PC, ids_T[1:], SIZE, 256, tied)
    start = time.process_time()
    loss.backward()
    return (time.process_time() - start) * 1e3


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # as in training
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(0)
    weight_PC = nn.Parameter(torch.randn(padded(SIZE), options.width) * 0.02)
    ids_T = torch.randint(SIZE, (options.tokens + 1,))
    found: dict[tuple[str, bool], list[float]] = {}
    for _ in range(options.rounds):
        for in_place in (False, True):
            weight_PC.grad = None
            for which in ("first", "next"):
                found.setdefault((which, in_place), []).append(backward(weight_PC, ids_T, in_place=in_place))
    print("| micro-batch | two matrices, ms | in place, ms | ratio |\n|---|---|---|---|")
    for which in ("first", "next"):
        plain, ours = (statistics.median(found[which, in_place]) for in_place in (False, True))
        print(f"| {which} | {plain:.1f} | {ours:.1f} | {plain / ours:.1f} |")


if __name__ == "__main__":
    main()
