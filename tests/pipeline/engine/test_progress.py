"""What a terminal shows while a stage runs."""

import time

from webtext.pipeline.engine.progress import watch
from webtext.pipeline.engine.stage import Stage, numbered
from webtext.pipeline.pages.crawl.live import Live
from webtext.pipeline.pages.crawl.spool import PREFIX, Spool


def drawn(folder, capsys, live):
    """What a terminal gets to see while a stage runs whose parts tell of themselves, or not."""
    stage = Stage("fetch", str(folder), {}, (), numbered([{}]), lambda *_: None, "links", live=live)
    with watch(stage), Spool(str(folder / f"{PREFIX}00000"), "") as spooled:
        for second in range(3):
            figures = {"done": 2 * second, "hosts_waiting": 42, "bytes": 0, "seconds": second, "reasons": {}}
            spooled.tell(figures)
            time.sleep(0.3)
    return capsys.readouterr().err


def test_the_line_is_there_for_a_stage_that_has_one_and_goes_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shown = drawn(tmp_path / "fetch", capsys, Live(str(tmp_path / "fetch")).look)
    assert "pages/s" in shown
    assert "42 hosts waiting" in shown
    assert "waiting" not in shown.rsplit("parts", 1)[1]
    assert "waiting" not in drawn(tmp_path / "pages", capsys, None)
