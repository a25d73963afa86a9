import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("changed", ROOT / ".ci" / "changed.py")
changed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(changed)

EXISTS = frozenset(
    {
        *(
            "tests/pipeline",
            "tests/pipeline/links",
            "tests/pipeline/pages",
            "tests/pipeline/pages/crawl",
            "tests/model",
        ),
        *("tests/pipeline/test_corpus.py", "tests/pipeline/links/test_dumps.py", "tests/test_docs.py"),
    }
)


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("pipeline/links/dumps.py", ["tests/pipeline/links"]),
        ("pipeline/links/data/domains-webtext.tsv", ["tests/pipeline/links"]),  # nearest folder with tests
        ("pipeline/pages/crawl/pace.py", ["tests/pipeline/pages/crawl"]),
        ("pipeline/corpus.py", ["tests/pipeline/test_corpus.py"]),
        ("model/gpt2.py", ["tests/model"]),
        ("tests/pipeline/links/test_dumps.py", ["tests/pipeline/links/test_dumps.py"]),
        ("README.md", []),
    ],
)
def test_a_change_asks_for_the_tests_of_its_room(path, tests):
    assert changed.tests_of([path], EXISTS) == sorted([*tests, "tests/test_docs.py"])


def test_a_folder_is_not_asked_for_twice():
    both = ["pipeline/links/dumps.py", "tests/pipeline/links/test_dumps.py"]
    assert changed.tests_of(both, EXISTS) == ["tests/pipeline/links", "tests/test_docs.py"]


def test_the_folders_that_it_names_are_there(capsys, monkeypatch):
    monkeypatch.setenv("BASE", "HEAD")
    assert changed.main() == 0
    assert all((ROOT / name).exists() for name in capsys.readouterr().out.split())


def test_a_base_that_is_not_here_is_named(capsys, monkeypatch):
    monkeypatch.setenv("BASE", "no-such-branch")
    assert changed.main() == 1
    assert "set BASE to a commit that is here" in capsys.readouterr().err
