"""`webtext reextract` and `webtext changes` on the build of the mini web."""

import hashlib
import json
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest
from processes import finished

from webtext.jobs import cli
from webtext.jobs.config import parse
from webtext.jobs.reextract import ReextractConfig, defaults_for
from webtext.pipeline.reextraction import settings_of
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.manifest import StageManifest, seal, unseal


def webtext(*args):
    # In a process of its own: the command starts a fork server, which a test process should not have.
    command = [sys.executable, "-m", "webtext.jobs.cli", *map(str, args)]
    return finished(command, text=True)


def contents(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def documents(work):
    """{key: (state, text, tokens)} of all pages."""
    found = {}
    for path in sorted((work / "documents").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            document = ("document", row["text"], row["token_count"]) if "text" in row else (row["reason"], "", 0)
            found[row["key"]] = document
    return found


def test_the_same_settings_change_nothing(miniweb_build, tmp_path):
    before = contents(miniweb_build)
    done = webtext("reextract", miniweb_build, "--output", tmp_path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert contents(miniweb_build) == before
    made, wanted = (
        StageManifest.from_json((w / "documents/manifest.json").read_bytes()) for w in (tmp_path, miniweb_build)
    )
    assert made == wanted  # fingerprint, ledgers, and the sha256 of every table
    changes = json.loads((tmp_path / "changes.json").read_bytes())
    assert (changes["gained"], changes["lost"], changes["changed"]) == (0, 0, 0)
    assert (changes["transitions"], changes["differences"], changes["domains"]) == ([], [], 0)
    assert changes["same"] == changes["before"]["documents"] == changes["after"]["documents"] > 100


def test_other_settings(miniweb_build, tmp_path, capsys):
    before = contents(miniweb_build)
    output = tmp_path / "out"
    flags = ("--output", output, "--extract.favor-recall", "--extract.min-tokens", 700, "--workers", 2)
    done = webtext("reextract", miniweb_build, *flags, "--extract.language-probability", 0)
    assert done.returncode == 0, done.stderr
    assert contents(miniweb_build) == before
    old, new = documents(miniweb_build), documents(output)
    assert old.keys() == new.keys()
    wanted = Counter(
        (old[key][0], new[key][0]) for key in old if old[key] != new[key] and (old[key][0], new[key][0]) != ("", "")
    )
    changes = json.loads((output / "changes.json").read_bytes())
    moves = {(entry["before"], entry["after"]): entry["pages"] for entry in changes["transitions"]}
    assert moves == wanted
    assert {("document", "document"), ("document", "too_short"), ("not_english", "document")} <= moves.keys()
    tokens = sum(document[2] for document in new.values()) - sum(document[2] for document in old.values())
    assert changes["after"]["tokens"] - changes["before"]["tokens"] == tokens
    assert sum(domain["tokens"] for domain in changes["gains"] + changes["losses"]) == tokens
    assert changes["differences"] == [
        {"name": "extract.favor_recall", "before": "False", "after": "True"},
        {"name": "extract.language_probability", "before": "0.5", "after": "0.0"},
        {"name": "extract.min_tokens", "before": "128", "after": "700"},
    ]
    assert f"gained {changes['gained']:,}, lost {changes['lost']:,}" in done.stdout

    # The comparison alone gives the same, and the other way round its opposite.
    assert cli.main(["changes", str(miniweb_build), str(output), "--output", str(tmp_path / "again")]) == 0
    for name in ("changes.json", "changes.html"):
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes()
    assert cli.main(["changes", str(output), str(miniweb_build), "--output", str(tmp_path / "back")]) == 0
    back = json.loads((tmp_path / "back" / "changes.json").read_bytes())
    assert (back["gained"], back["lost"], back["same"]) == (changes["lost"], changes["gained"], changes["same"])

    # The folder belongs to these settings.
    message = "belongs to another re-extraction or build: extract.favor_recall was True, is False"
    assert message in refused(capsys, miniweb_build, output)


def refused(capsys, build, output):
    """The error of a re-extraction that ends before it starts any process."""
    assert cli.main(["reextract", str(build), "--output", str(output)]) == 1
    return capsys.readouterr().err


def claimed(folder, **settings):
    folder.mkdir()
    claim = {f"extract.{name}": value for name, value in settings.items()} | {"links.score": 3}
    (folder / "build.json").write_bytes(seal(claim))
    return folder


def test_settings_that_are_not_given_are_those_of_the_build(tmp_path):
    build = claimed(tmp_path / "build", language_probability=0.0, favor_recall=True, min_tokens=7)
    assert settings_of(str(build)) == ExtractSettings(language_probability=0.0, favor_recall=True, min_tokens=7)
    args = [str(build), "--output=x", "--extract.min-tokens=128", "--extract.no-favor-recall"]
    config = parse(defaults_for(parse(ReextractConfig, "reextract", args, "w")), "reextract", args, "w")
    assert config.extract == ExtractSettings(language_probability=0.0)  # two that are given, with their usual values


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unheard_of": 1}, "was built by another version"),
        ({"min_tokens": "many"}, "was built by another version"),
        ({}, "whose stage 'pages' is finished"),
    ],
)
def test_what_is_no_build_is_refused(tmp_path, capsys, settings, message):
    assert message in refused(capsys, claimed(tmp_path / "build", **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_output_may_not_be_in_the_build(miniweb_build, capsys):
    before = contents(miniweb_build)
    for output in (miniweb_build, miniweb_build / "documents", miniweb_build / "new", f"{miniweb_build}/x/.."):
        assert "is in the folder of the build" in refused(capsys, miniweb_build, output)
    assert contents(miniweb_build) == before


def test_archives_must_be_what_they_were(miniweb_build, tmp_path, capsys):
    build = tmp_path / "build"
    (build / "pages").mkdir(parents=True)
    (build / "pages/manifest.json").write_bytes((miniweb_build / "pages/manifest.json").read_bytes())
    claim = unseal((miniweb_build / "build.json").read_bytes())
    archive = tmp_path / "a.warc"
    claim["input archives"] = [f"{archive} 12 1.5"]
    (build / "build.json").write_bytes(seal(claim))
    assert f"archive '{archive}' of the build is missing" in refused(capsys, build, tmp_path / "out")
    archive.write_bytes(b"another")
    assert "has 7 bytes, but had 12 in the build" in refused(capsys, build, tmp_path / "out")
