"""Extractors of other projects beside ours: built into a folder where they can be had, and run as programs.

    .venv/bin/python benchmarks/extract_peers.py FOLDER [PYTHON]   builds them, and tells of each that can't be had why
    .venv/bin/python benchmarks/extract.py --peers FOLDER          measures those that are there

The programs are in benchmarks/peer_programs. They need Python (magic-html 3.12 or later, so name one), Go and Rust:
what can't be built is left out.
"""

import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from webtext.pipeline.documents.decode import decode

_SOURCES: Final = Path(__file__).resolve().parent / "peer_programs"
_BUILD_SECONDS: Final = 900
# Each from its package registry, with the interpreter that has it.
_PYTHON: Final = {
    "resiliparse": "resiliparse",
    "rs-trafilatura": "rs-trafilatura",  # builds with Rust, 2 minutes
    "magic-html": "magic-html",
    "newspaper4k": "newspaper4k",
}
_GO: Final = "go-trafilatura"
_RUST: Final = "dom_smoothie"


def build(folder: Path, python: str) -> dict[str, str]:
    """Build what can be built. Why the others can't be had, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    _try(missing, "Python", [python, "-m", "venv", str(folder / "python")])
    pip = [str(folder / "python" / "bin" / "pip"), "install", "--quiet", "lxml_html_clean"]
    for name, package in _PYTHON.items():
        _try(missing, name, [*pip, package])
    _try(missing, _GO, ["go", "build", "-o", str(folder / _GO), "."], _SOURCES / "go")
    cargo = ["cargo", "install", "--quiet", "--path", ".", "--root", str(folder / "rust")]
    _try(missing, _RUST, [*cargo, "--target-dir", str(folder / "target")], _SOURCES / "rust")
    return missing


def _try(missing: dict[str, str], name: str, command: list[str], where: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        missing[name] = str(error)
        return
    if done.returncode:
        missing[name] = (done.stderr.strip().splitlines() or ["no message"])[-1]


def commands(folder: Path) -> dict[str, list[str]]:
    """How to run those that are in the folder, by name."""
    python = folder / "python" / "bin" / "python"
    found = {name: [str(python), str(_SOURCES / "python_peers.py"), name] for name in _PYTHON}
    found |= {_GO: [str(folder / _GO)], _RUST: [str(folder / "rust" / "bin" / "peers")]}
    return {name: command for name, command in found.items() if _answers(command)}


def _answers(command: list[str]) -> bool:
    try:
        page = struct.pack("<I", 9) + b"<p>a page"
        return subprocess.run(command, input=page, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


class Peer:
    """A program as the pipe to a contestant's process is: a page is sent, times and text are received."""

    def __init__(self, command: list[str], finish: Callable[[str], str]) -> None:
        """`finish` is what the chain does with the text."""
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._finish = finish
        self._decoding = 0.0

    def send(self, payload: bytes) -> None:
        """Decode a page here, and let the program have it."""
        assert self._process.stdin is not None
        start = time.process_time()
        markup = decode(payload).encode("utf-8", "replace")
        self._decoding = time.process_time() - start
        self._process.stdin.write(struct.pack("<I", len(markup)) + markup)
        self._process.stdin.flush()

    def recv(self) -> tuple[float, float, str]:
        """CPU seconds of the chain and of the extraction in it, and the text."""
        assert self._process.stdout is not None
        spent, length = struct.unpack("<dI", self._process.stdout.read(12))
        text = self._process.stdout.read(length).decode("utf-8", "replace")
        start = time.process_time()
        self._finish(text)
        return self._decoding + spent + time.process_time() - start, spent, text

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@contextmanager
def running(folder: Path | None, finish: Callable[[str], str]) -> Iterator[dict[str, Peer]]:
    """The programs of the folder, by name; none without a folder."""
    finish("warm up")
    found = {name: Peer(command, finish) for name, command in (commands(folder).items() if folder else ())}
    try:
        yield found
    finally:
        for peer in found.values():
            peer.close()


def main() -> None:
    """Build all, and tell what is there."""
    folder = Path(sys.argv[1])
    missing = build(folder, sys.argv[2] if len(sys.argv) > 2 else sys.executable)
    there = commands(folder)
    for name in (*_PYTHON, _GO, _RUST):
        reason = missing.get(name) or missing.get("Python") or "it does not run"
        print(f"{name}: {'there' if name in there else f'left out: {reason}'}")


if __name__ == "__main__":
    main()
