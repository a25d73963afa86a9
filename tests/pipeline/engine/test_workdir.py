"""Whose a work directory is, and which stages are finished in it; its files may be anybody's."""

import pytest

from webtext.pipeline.engine import workdir
from webtext.schemas.manifest import ManifestError, StageManifest

MINE = {"parts": 3, "input archives": ["a 1 2", "b 1 2"]}


def claim(folder, mine=MINE):
    workdir.claim(str(folder), mine, "build", "--work")


def test_a_folder_belongs_to_who_came_first(tmp_path):
    assert workdir.read_claim(str(tmp_path)) is None
    claim(tmp_path)
    claim(tmp_path)
    assert workdir.read_claim(str(tmp_path)) == MINE
    with pytest.raises(ValueError, match=r"belongs to another build: parts was 3, is 4\. Give another --work"):
        claim(tmp_path, MINE | {"parts": 4})
    with pytest.raises(ValueError, match=r"archives: 1 gone or changed, 2 new \(such as 'a 9 9'\)\. Give"):
        claim(tmp_path, MINE | {"input archives": ["b 1 2", "a 9 9", "c 1 2"]})
    with pytest.raises(ValueError, match=r"n4 was None, is 1; and 2 more\. Give"):
        claim(tmp_path, MINE | {f"n{number}": 1 for number in range(7)})


def test_a_damaged_claim_is_mended_by_who_it_belongs_to(tmp_path):
    claim(tmp_path)
    file = tmp_path / workdir.CLAIM
    whole = file.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):  # also those that make a digest or a name no JSON any more
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            claim(tmp_path)
            assert file.read_bytes() == whole
    file.write_bytes(whole.replace(b'"parts":3', b'"parts":{'))
    with pytest.raises(ValueError, match=r"build\.json: .*Give another --work, or delete this one"):
        claim(tmp_path, MINE | {"parts": 4})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_damaged_is_named(tmp_path, data):
    (tmp_path / workdir.CLAIM).write_bytes(data)
    with pytest.raises(ValueError, match=r"build\.json: .*Give another --work, or delete this one"):
        claim(tmp_path)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "manifest.json").write_bytes(data)
    with pytest.raises(ManifestError, match=r"pages/manifest\.json: .*Run the build again"):
        workdir.finished(str(tmp_path), "pages")


def test_a_stage_is_finished_when_its_manifest_is_there(tmp_path):
    assert workdir.finished(str(tmp_path), "pages") is None
    (tmp_path / "pages").mkdir()
    manifest = StageManifest("pages", "f", ())
    (tmp_path / "pages" / "manifest.json").write_bytes(manifest.to_json())
    assert workdir.finished(str(tmp_path), "pages") == manifest
