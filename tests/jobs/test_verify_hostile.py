"""`webtext verify` on folders and manifests that are made to hurt: a line each, and nothing is read without end."""

import json
import os
import random
import re
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
from verify_command import check

from webtext.jobs import cli
from webtext.schemas.manifest import CorpusManifest, digest_of

TRAIN, VAL = "train-00000", "val-00000"
STRAY = "not listed in the manifest"


def test_links_in_circles_end_the_search(corpus, capsys):
    for folder in (corpus, corpus / "text", corpus / "a"):
        folder.mkdir(exist_ok=True)
        for number in range(3):
            (folder / f"again-{number}").symlink_to(corpus)
            (folder / f"self-{number}").symlink_to(f"self-{number}")
    status, found = check(corpus, capsys)
    assert status == 1
    assert len(found) == 3 * 6
    assert f"text/again-0: {STRAY}" in found


def test_a_folder_of_the_corpus_may_lie_elsewhere(corpus, capsys, tmp_path):
    (corpus / "text").rename(tmp_path / "disk")
    (corpus / "text").symlink_to(tmp_path / "disk")
    assert check(corpus, capsys)[0] == 0
    (tmp_path / "disk" / "stray").touch()
    (tmp_path / "disk" / "again").symlink_to(corpus)
    assert check(corpus, capsys) == (1, [f"text/again: {STRAY}", f"text/stray: {STRAY}"])


def test_a_deep_tree_ends_the_search(corpus, capsys):
    at = os.open(corpus, os.O_RDONLY)
    for _ in range(300):  # deeper than a path may be long
        os.mkdir("d" * 50, dir_fd=at)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    status, [line] = check(corpus, capsys)
    assert status == 1
    assert line.endswith(": not looked into: it is deeper than 8 folders")
    shutil.rmtree(corpus)


def test_a_great_many_strays_end_the_search(corpus, capsys):
    for number in range(10):
        (corpus / f"{number:02d}").mkdir()
        for inner in range(2500):
            (corpus / f"{number:02d}" / f"{inner}").mkdir()
    status, [line] = check(corpus, capsys)
    assert status == 1
    assert re.fullmatch(r"\d\d: the search for strays ends here, after 20,000 files and folders", line)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)], ids=["pipe", "folder", "circle"]
)
@pytest.mark.parametrize("name", [f"{TRAIN}.arrow", f"text/{VAL}.parquet", "stray", "manifest.json"])
def test_what_is_no_file_is_not_read(corpus, capsys, make, name):
    (corpus / name).unlink(missing_ok=True)
    make(corpus / name)
    status = cli.main(["verify", str(corpus)])
    out, error = capsys.readouterr()
    if name == "stray":
        assert out.splitlines()[0] == f"stray: {STRAY}" or (make is os.mkdir and status == 0)
    elif name == "manifest.json":
        assert (status, error) == (1, f"error: {corpus} is no corpus: it has no manifest.json\n")
    else:
        assert out.splitlines() in ([f"{name}: is no file"], [f"{name}: missing"])


@pytest.mark.parametrize("name", [f"{TRAIN}.arrow", f"text/{VAL}.parquet"])
@pytest.mark.parametrize("stated", [False, True], ids=["true manifest", "hostile manifest"])
def test_a_sparse_giant_is_not_read(corpus, capsys, name, stated):
    giant = 2**43  # bytes
    os.truncate(corpus / name, giant)
    if stated:
        manifest = CorpusManifest.from_json((corpus / "manifest.json").read_bytes())
        shards = tuple(replace(s, bytes=giant) if s.name == name else s for s in manifest.shards)
        texts = tuple(replace(t, bytes=giant) if t.name == name else t for t in manifest.texts)
        (corpus / "manifest.json").write_bytes(replace(manifest, shards=shards, texts=texts).to_json())
    status, [line] = check(corpus, capsys)
    assert status == 1
    assert re.fullmatch(rf"{name}: is not read: it has {giant} bytes, of which the disk holds \d+", line)


def test_a_manifest_without_end_is_refused(corpus, capsys):
    os.truncate(corpus / "manifest.json", 2**43)
    assert check(corpus, capsys) == (1, [f"manifest.json: manifest has more than {2**28} bytes, which are not read"])


HOSTILE = [
    *(None, True, -1, 0, 2**63, 10**4000, 1.5, float("nan"), "", "x" * 10_000, "\ud800", "\x1b[2J", "a\nb", [], {}),
    *("..", "/etc/passwd", "text/", "./x", "text//x", "train-00000.arrow", "x" * 300, "manifest.json", ".hidden"),
]


def places(value, path=()):
    """The path to each value inside JSON."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield from places(below, (*path, step))


@pytest.mark.parametrize("signed", [False, True], ids=["digest left", "digest made anew"])
def test_hostile_manifests_are_problems_in_lines(corpus, capsys, signed):
    whole = json.loads((corpus / "manifest.json").read_bytes())
    rng = random.Random(signed)
    everywhere = sorted(filter(None, places(whole)), key=str)
    for _ in range(150):
        changed = json.loads(json.dumps(whole))
        *steps, last = rng.choice(everywhere)
        inner = changed
        for step in steps:
            inner = inner[step]
        inner[last] = rng.choice(HOSTILE)
        text = json.dumps(changed)
        if signed:
            with suppress(UnicodeEncodeError, ValueError):
                changed["content_sha256"] = digest_of(changed["content"])
                text = json.dumps(changed)
        (corpus / "manifest.json").write_text(text)
        status = cli.main(["verify", str(corpus)])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        assert not error.startswith("error:"), (steps, last, inner[last], error)
        # What is free-form, or a configuration that could have been, is no problem.
        free = (
            {"build", "config", "content_sha256", "counts"} & {*steps, last} if signed else {"build"} & {*steps, last}
        )
        assert status == 1 or free, (steps, last, inner[last])
        assert status == 0 or out


@pytest.mark.parametrize("depth", [100, 900, 1000, 100_000])
def test_a_deep_manifest_is_refused(corpus, capsys, depth):
    whole = (corpus / "manifest.json").read_text()
    (corpus / "manifest.json").write_text(
        whole.replace('"content": {', '"content": {"deep": ' + "[" * depth + "]" * depth + ",", 1)
    )
    status, found = check(corpus, capsys)
    assert status == 1
    assert found
