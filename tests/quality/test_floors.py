"""The scores of our extraction never drop unseen.

After a change that is meant to move them: `pytest tests/quality --update-golden`, and review the diff of floors.toml.
"""

import tomllib
from pathlib import Path

import pytest
import truth

from webtext.pipeline.documents.extract import extract_page
from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text.document import Document

FLOORS = Path(__file__).with_name("floors.toml")
# Every page is scored, whatever its language and length, and whether it should be kept.
SETTINGS = ExtractSettings(language_probability=0, min_tokens=0, walls=False, wikipedia=False)
_STEP = 10_000  # scores are written in full steps of this many to one, downwards


def our_text(page):
    found = extract_page(page.payload, SETTINGS)
    return found.text if isinstance(found, Document) else ""


def measured(name):
    pages = truth.read_set(truth.DATA / name)
    scores = truth.score([our_text(page) for page in pages], pages)
    return {key: value for key in ("word_f1", "snippet_f1") if (value := getattr(scores, key)) is not None}


def write_floors(name, digest, scores):
    floors = tomllib.loads(FLOORS.read_text())
    floors[name] = {"digest": digest, **{key: int(value * _STEP) / _STEP for key, value in scores.items()}}
    head = "".join(line for line in FLOORS.read_text().splitlines(True) if line.startswith("#"))
    blocks = (
        f"\n[{name}]\n"
        + "".join(f'{key} = "{v}"\n' if isinstance(v, str) else f"{key} = {v:.4f}\n" for key, v in floors[name].items())
        for name in truth.SETS
        if name in floors
    )
    FLOORS.write_text(head + "".join(blocks))


@pytest.mark.parametrize("name", truth.SETS)
def test_scores_hold_their_floors(name, request):
    folder = truth.DATA / name
    if not folder.is_dir():
        pytest.skip(f"pages with marked text (../shared/data/html/{name}) are not here")
    digest = truth.set_digest(folder)
    if request.config.getoption("--update-golden"):
        write_floors(name, digest, measured(name))
    floors = tomllib.loads(FLOORS.read_text())[name]
    assert digest == floors.pop("digest"), (
        f"the pages of {name} are not those that the floors in {FLOORS.name} were measured on; "
        "measure them anew with --update-golden and review the diff"
    )
    scores = measured(name)
    assert scores.keys() == floors.keys()
    low = {key: f"{scores[key]:.4f}, floor {floor}" for key, floor in floors.items() if scores[key] < floor}
    assert not low, f"quality of extraction on {name} fell"
