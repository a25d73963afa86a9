"""`webtext sample`: write text with a trained model."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SampleConfig:
    """Write text with the newest checkpoint of a run."""

    model: Path
    """Folder of the run that `webtext pretrain` wrote."""
    prompt: str = ""
    """Text to continue; empty starts a new document."""
    num: int = 1
    """Texts to write."""
    max_tokens: int = 100
    """Most tokens of a text, beyond the prompt."""
    temperature: float = 0.8
    """Below 1 safer, above 1 wilder; 0 always takes the likeliest token."""
    top_k: int = 200
    """Choose among the top_k likeliest tokens; 0 for all."""
    seed: int = 0
    """Of the choices; text i uses seed + i."""
    device: str = "auto"
    """PyTorch device, such as cpu or cuda; auto takes cuda where there is one."""


def run(config: SampleConfig) -> int:
    """Print the texts, each with its prompt, separated by lines of dashes."""
    from webtext.model import checkpoint  # torch, which --help must not wait for
    from webtext.model.generate import generate
    from webtext.model.trainer import choose_device
    from webtext.schemas import vocabulary

    if not config.model.is_dir() or (newest := checkpoint.latest(config.model)) is None:
        raise ValueError(f"{config.model} has no checkpoint: give the folder that `webtext pretrain --out` wrote to")
    model = checkpoint.load_model(newest, choose_device(config.device))
    encoding = vocabulary.load()
    texts = generate(
        model,
        encoding.encode_ordinary(config.prompt) or [vocabulary.END_OF_TEXT],
        max_tokens=config.max_tokens,
        num=config.num,
        temperature=config.temperature,
        top_k=config.top_k,
        seed=config.seed,
    )
    print("\n---\n".join(config.prompt + encoding.decode(tokens) for tokens in texts))
    return 0
