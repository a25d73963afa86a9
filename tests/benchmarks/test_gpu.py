"""Every row of the GPU benchmark runs, in small, on the CPU."""

import gpu
import pytest
import torch


@pytest.mark.timeout(600)
def test_dry_run_measures_every_row(capsys, tmp_path):
    gpu.main(["--dry-run", "--output", str(tmp_path / "gpu.md")])
    text = (tmp_path / "gpu.md").read_text()
    assert text in capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")][1:]
    expected = [variant.name for part in gpu.variants(4) for variant in part]
    assert [name for name, *_ in rows] == expected
    for name, _, speed, mfu, *_, last in rows:
        if "cudnn" in name or "efficient" in name:  # a CPU has none
            assert not speed
            assert last.startswith("failed: ")
        else:
            assert float(speed.replace(",", "")) > 0, name
            assert float(mfu.rstrip("%")) >= 0
    assert not torch.are_deterministic_algorithms_enabled()


def test_rows_without_time_say_so():
    (first, *_), _ = gpu.variants(4)
    assert gpu.row(first, None, None, 1.0, deadline=0.0).endswith("| no time left |")


def test_names_of_rows_are_different():
    names = [variant.name for part in gpu.variants(64) for variant in part]
    assert len(set(names)) == len(names)
