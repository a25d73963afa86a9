import errno
import hashlib
import json
import os
import sys

import pytest
from processes import finished

from webtext.pipeline.files import storage


def test_published_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "file"
    with storage.publish(str(path)) as sink:
        sink.write(b"one")
        assert not path.exists()
        sink.write(memoryview(b"two"))
    assert path.read_bytes() == b"onetwo"
    assert sink.size == 6
    with pytest.raises(RuntimeError), storage.publish(str(path)) as sink:
        sink.write(b"broken")
        raise RuntimeError
    assert path.read_bytes() == b"onetwo"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_patterns_give_each_file_once_in_order(tmp_path):
    for name in ("b", "a", "c[1]"):
        (tmp_path / name).write_bytes(b"x")
    found = storage.expand([str(tmp_path / "b"), str(tmp_path / "*"), str(tmp_path / "c[1]")])
    assert [entry.path.rsplit("/", 1)[1] for entry in found] == ["a", "b", "c[1]"]
    with pytest.raises(FileNotFoundError, match="no file matches"):
        storage.expand([str(tmp_path / "nothing*")])


def test_remote_paths_go_through_beam(monkeypatch):
    # Beam's own refusal of a scheme that nobody registered shows that it was asked.
    with pytest.raises(OSError, match="nowhere"):
        storage.open_binary("nowhere://bucket/file")


def test_a_folder_has_one_build_at_a_time(tmp_path):
    with (
        storage.lock(str(tmp_path)),
        pytest.raises(BlockingIOError, match="another build is at work"),
        storage.lock(str(tmp_path)),
    ):
        pass
    with storage.lock(str(tmp_path)):
        pass


def test_a_file_that_cant_be_made_is_told_with_its_cause(tmp_path):
    path = str(tmp_path / ("n" * 300))
    with pytest.raises(OSError, match="File name too long") as caught, storage.publish(path):
        pass
    assert caught.value.filename == path  # and not its temporary name
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_whole_file_is_taken_by_a_second_name_or_copied(tmp_path, links, monkeypatch):
    if not links:

        def refuse(*_):
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    source, final = tmp_path / "source", tmp_path / "out" / "final"
    source.write_bytes(b"whole" * 300_000)
    for _ in range(2):  # the second time the file is there already, under the same inode
        with storage.publish(str(final)) as sink:
            sink.take(str(source))
        assert (sink.size, sink.sha256) == (1_500_000, hashlib.sha256(source.read_bytes()).hexdigest())
        assert os.listdir(final.parent) == ["final"]
    assert os.path.samefile(source, final) == links
    source.unlink()
    assert final.read_bytes() == b"whole" * 300_000


def test_what_was_written_before_a_file_is_taken_stays(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"and this")
    with storage.publish(str(tmp_path / "final")) as sink:
        sink.write(b"this ")
        sink.take(str(source))
    assert (tmp_path / "final").read_bytes() == b"this and this"
    assert sink.sha256 == hashlib.sha256(b"this and this").hexdigest()


def test_a_file_taken_by_a_writer_that_fails_is_not_published(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(ZeroDivisionError), storage.publish(str(tmp_path / "out" / "final")) as sink:
        sink.take(str(source))
        _ = 1 / 0
    assert os.listdir(tmp_path / "out") == []
    assert source.read_bytes() == b"x"


@pytest.mark.parametrize(("flags", "expected"), [((), "has credentials"), (("--no_auth",), "goes without")])
def test_a_process_without_auth_asks_nobody_for_credentials(flags, expected, tmp_path):
    pytest.importorskip("google.auth", reason="the extra gcp is not installed")
    key = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "key.json").write_text(json.dumps(key))
    script = (
        "import sys\n"
        "from apache_beam.internal.gcp import auth\n"
        "from apache_beam.options.pipeline_options import PipelineOptions\n"
        "from webtext.pipeline.files import storage\n"
        "storage.configure(sys.argv[1:])\n"
        "found = auth.get_service_credentials(PipelineOptions([]))\n"
        "print('goes without' if found is None else 'has credentials')\n"
    )
    environment = os.environ | {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    command = [sys.executable, "-c", script, *flags]
    done = finished(command, env=environment, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr
