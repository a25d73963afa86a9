import pytest

from pipeline import storage


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
    with pytest.raises(ValueError, match="nowhere"):
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
