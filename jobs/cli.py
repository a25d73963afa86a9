"""The console command `webtext`: choose a sub-command, import its module, parse its flags, run it.

A job is a module jobs/NAME.py with a frozen dataclass NameConfig and run(config) -> exit status. It is imported only
when it is chosen, so that `webtext --help` does not wait for Beam or torch.
"""

import importlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from webtext.jobs.terminal import complain
from webtext.schemas.visible import log_visibly

COMMANDS: Final = {
    "build": "build a corpus: Reddit submissions or URL lists in, GPT-2 token shards out",
    "posts": "read Reddit posts from Reddit's API into dump files for build",
    "pretrain": "train GPT-2 on a corpus",
    "curve": "draw the loss curves of training runs",
    "sample": "write text with a trained model",
    "fetch": "try URLs as the crawler would",
    "extract": "extract pages from files as a build would, and tell the decision on each",
    "why": "tell what became of one URL, and why",
    "verify": "check every file of a corpus against its manifest",
    "report": "write the HTML report of a build",
    "reextract": "extract the pages of a build again with other settings, and tell what changes",
    "changes": "tell what changed from one build or re-extraction to another",
    "workers": "start the Python workers of builds on a machine of a cluster",
    "demo": "build a small corpus from the shipped pages and train a tiny GPT-2 on it",
}

ALIASES: Final = {"links": "posts"}  # what commands were called before

# Without its extra `gcp`, Beam warns at import that BigQuery is not at hand, which no job here uses.
logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("apitools not found"))

_EXTRAS: Final = {"torch": "train", "safetensors": "train"}  # module -> the extra of this package that brings it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command. Returns the exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    log_visibly()
    return guard(lambda: _dispatch(args))


def guard(work: Callable[[], int]) -> int:
    """The exit status of `work`, with one line for each error that a user can do something about.

    WEBTEXT_DEBUG=1 lets the exception through, for its traceback.
    """
    from webtext.jobs.config import UsageError  # tyro, a tenth of a second

    try:
        return work()
    except KeyboardInterrupt:
        complain("interrupted; the same command continues from what is finished")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has had enough. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("WEBTEXT_DEBUG"):
            raise
        complain(f"error: {_explain(error)}")
        return 2 if isinstance(error, UsageError) else 1


def run_job(command: str, args: Sequence[str], prog: str) -> int:
    """Parse `args` into the config of `command` and run it."""
    from webtext.jobs.config import parse

    job = importlib.import_module(f"webtext.jobs.{command}")
    config_class = getattr(job, f"{command.capitalize()}Config")
    config = parse(config_class, command, args, prog)
    if defaults_for := getattr(job, "defaults_for", None):  # a job whose defaults depend on other flags
        config = parse(defaults_for(config), command, args, prog)
    status: int = job.run(config)
    return status


def _dispatch(args: Sequence[str]) -> int:
    from webtext.jobs.config import HELP_FLAGS, UsageError, did_you_mean

    if not args or args[0] in HELP_FLAGS:
        print(_help())
        return 0
    command, *rest = args
    if command == "--version":
        print(f"webtext {importlib.metadata.version('webtext')}")
        return 0
    command = ALIASES.get(command, command)
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command}{did_you_mean(command, COMMANDS)}; known: {', '.join(COMMANDS)}")
    return run_job(command, rest, prog=f"webtext {command}")


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: webtext COMMAND [--config NAME|FILE.toml] [FLAGS]",
            "",
            *lines,
            "",
            "webtext COMMAND --help explains the flags of a command. WEBTEXT_DEBUG=1 shows where an error came from.",
        ]
    )


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        return f"{error}; pip install 'webtext[{extra}]'" if extra else str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
