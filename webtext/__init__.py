"""Build WebText-style corpora with Apache Beam, and train GPT-2 on them with PyTorch.

This is the public face: what a notebook or a script of yours may rely on. All else may change between versions. The
commands (`webtext --help`) do the large work; what is here looks at pages, URLs, corpora, builds and models, one at a
time. Each library is loaded when something that needs it is first used.

The examples speak of the folder `demo/` that `webtext demo` (or `make demo`) leaves.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webtext.model.gpt2 import GPT2
    from webtext.pipeline.account.why import Story
    from webtext.pipeline.release.reading import Corpus as Corpus
    from webtext.pipeline.text.document import Document as Document
    from webtext.schemas.records import Loss as Loss

__all__ = [
    "Corpus",
    "Document",
    "Loss",
    "canonical",
    "extract",
    "generate",
    "key",
    "load_model",
    "read_log",
    "why",
]

_CLASSES = {
    "Corpus": "webtext.pipeline.release.reading",
    "Document": "webtext.pipeline.text.document",
    "Loss": "webtext.schemas.records",
}


def __getattr__(name: str) -> Any:
    """The classes, loaded when they are asked for."""
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_CLASSES[name]), name)


def __dir__() -> list[str]:
    return __all__


def extract(page: str | bytes, charset: str = "", **settings: Any) -> "Document | Loss":
    """What a build would make of one page: a document with its text, or the first reason against it.

    Runs here and now, without the sandbox of a build: a hostile page may take long, or much memory. `webtext extract`
    has the sandbox.

    >>> found = extract("<html><body><article><p>" + "The cat sat on the mat and looked at me. " * 20)
    >>> found.text[:24], round(found.language_probability, 1)
    ('The cat sat on the mat a', 1.0)
    >>> extract("<html><body><p>Hello").reason
    <Reason.NOT_ENGLISH: 'not_english'>

    Args:
        page: the page as text, or as the bytes that the server sent.
        charset: of bytes, as the HTTP header declares it; "" where it does not.
        settings: fields of pipeline.settings.ExtractSettings, such as min_tokens=10 or favor_recall=True.

    Raises:
        TypeError: there is no such setting.
        ValueError: a setting is out of its range.
    """
    from webtext.pipeline.archives.warc import RawPage
    from webtext.pipeline.documents.extract import extract_page
    from webtext.pipeline.documents.heed import heed
    from webtext.pipeline.settings import ExtractSettings
    from webtext.schemas.records import Loss

    if isinstance(page, str):
        page, charset = page.encode("utf-8", "replace"), "utf-8"
    chosen = ExtractSettings(**settings)
    heeded, _ = heed(RawPage("", 200, "text/html", charset or None, page, truncated=False), chosen)
    return heeded if isinstance(heeded, Loss) else extract_page(page, chosen, charset or None)


def canonical(url: str) -> str:
    """The one spelling of a URL under which a corpus has it.

    >>> canonical("HTTP://WWW.Example.com:80/a/../b?utm_source=x&id=1#top")
    'http://www.example.com/b?id=1'

    Raises:
        ValueError: it is no absolute http or https URL; the message says why.
    """
    from webtext.pipeline.identity import urls

    return urls.canonicalize(url)


def key(url: str) -> bytes:
    """The 16 bytes by which all tables know a page; equal for spellings that name the same page in practice.

    >>> key("http://www.example.com/page/") == key("https://example.com/page")
    True
    >>> key("https://example.com/page").hex()
    'd81113d08ba9750aa25fb5923e8330a1'

    Raises:
        ValueError: as `canonical`.
    """
    from webtext.pipeline.identity import urls

    return urls.link_key(urls.canonicalize(url))


def why(work: str | os.PathLike[str], url: str) -> "Story":
    """What became of one URL in a build, finished or not: posts, captures, text, copies, place in the corpus.

    >>> story = why("demo/work", "https://example.com/never-linked")
    >>> story.verdict, story.explanation
    ('not_linked', 'No post and no list names this URL.')

    Args:
        work: the folder of the build.
        url: in any spelling; of a build from texts also an id.

    Raises:
        FileNotFoundError: no build has ever begun there.
    """
    from webtext.pipeline.account.why import Build, tell

    return tell(Build(os.fspath(work)), url)


def load_model(run: str | os.PathLike[str], device: str = "cpu") -> "GPT2":
    """The model of a run's newest checkpoint, ready to use.

    >>> model = load_model("demo/run")
    >>> model.config.n_ctx
    128

    Args:
        run: the folder that `webtext pretrain --out` wrote to.
        device: a PyTorch device, or "auto" for a GPU where there is one.

    Raises:
        ValueError: there is no checkpoint, or no such device.
    """
    from pathlib import Path

    from webtext.model.arithmetic import choose_device
    from webtext.model.checkpoint import newest_model

    return newest_model(Path(run), choose_device(device))


def generate(
    model: "GPT2",
    prompt: str = "",
    *,
    max_tokens: int = 100,
    num: int = 1,
    temperature: float = 0.8,
    top_k: int = 200,
    seed: int = 0,
) -> list[str]:
    """Continue a prompt in `num` ways. Gives what is new, without the prompt; equal seeds give equal texts.

    >>> [text] = generate(load_model("demo/run"), "The town", max_tokens=5)
    >>> [text] == generate(load_model("demo/run"), "The town", max_tokens=5)
    True

    Args:
        model: of `load_model`.
        prompt: "" begins a new document.
        max_tokens: most tokens of a continuation.
        num: how many; number i draws with seed + i.
        temperature: below 1 safer, above 1 wilder; 0 always takes the likeliest token.
        top_k: choose among the top_k likeliest tokens; 0 for all.
        seed: of the choices.

    Raises:
        ValueError: a number is out of its range.
    """
    from webtext.model import generate as generation
    from webtext.schemas import vocabulary

    encoding = vocabulary.load()
    tokens = generation.generate(
        model,
        encoding.encode_ordinary(prompt) or [vocabulary.END_OF_TEXT],
        max_tokens=max_tokens,
        num=num,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
    return [encoding.decode(continuation) for continuation in tokens]


def read_log(run: str | os.PathLike[str]) -> Iterator[Mapping[str, Any]]:
    """The log of a training run, a line for each step: step, tokens, loss, learning rate, and val_loss at times.

    >>> first = next(read_log("demo/run"))
    >>> first["step"], sorted(first)[:3]
    (1, ['grad_norm', 'loss', 'lr'])

    Args:
        run: its folder, or the log itself.

    Raises:
        ValueError: there is no log, or a line is none of a log.
    """
    from pathlib import Path

    from webtext.model import curve

    return curve.lines(Path(run))
