"""`webtext sample`: write text with a trained model."""

import sys
from dataclasses import dataclass
from pathlib import Path

from webtext.schemas.visible import visible


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
    from webtext import generate, load_model

    texts = generate(
        load_model(config.model, config.device),
        config.prompt,
        max_tokens=config.max_tokens,
        num=config.num,
        temperature=config.temperature,
        top_k=config.top_k,
        seed=config.seed,
    )
    shown = "\n---\n".join(config.prompt + text for text in texts)
    print(visible(shown, keep="\n\t") if sys.stdout.isatty() else shown)
    return 0
