"""One flipped bit in any file of a work directory, between any two stages: the same corpus, or it is told and mended.

`make test-faults` flips a thousand. Each trial takes the directory as it was after some stage, flips one bit in one of
its files, and gives the build's command again. The draw is by kind of file first, then by file and bit.
"""

import logging
import random
import shutil

import fault_builds
import pytest

from webtext.pipeline.engine.stage import StageError
from webtext.pipeline.release.verify import problems

pytestmark = pytest.mark.timeout(7200)  # for a thousand


@pytest.fixture(scope="module", params=fault_builds.KINDS)
def stages(request, tmp_path_factory):
    """Kind, folder, digests of the corpus, and copies of the work directory after each stage, by the stage's name."""
    folder = tmp_path_factory.mktemp(request.param)
    fault_builds.write_inputs(folder, request.param)
    work, copies = folder / "work", {}

    def keep(stage):
        copies[stage.name] = folder / "copies" / stage.name
        shutil.copytree(work, copies[stage.name])

    fault_builds.build_here(folder, request.param, work, keep)
    copies["all"] = folder / "copies" / "all"
    shutil.copytree(work, copies["all"])
    return request.param, folder, fault_builds.digests(work), copies


def kind_of(path):
    """What a file is one of: its stage and what its name says after the part's."""
    return path.parent.name, path.name.split(".", 1)[-1]


def flip(rng, work):
    """Flip one bit of one file. Gives the file, its bytes now, and the place in words."""
    files = [path for path in sorted(work.rglob("*")) if path.is_file() and path.stat().st_size]
    kind = rng.choice(sorted({kind_of(path) for path in files}))
    path = rng.choice([path for path in files if kind_of(path) == kind])
    data = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return path, bytes(data), f"bit {bit} of {path.relative_to(work)}"


def test_a_flipped_bit_changes_no_corpus(stages, request, caplog):
    caplog.set_level(logging.ERROR, "webtext")  # each is told
    kind, folder, expected, copies = stages
    trials, seed = request.config.option.flips, request.config.option.fault_seed
    work = folder / "work"
    harmless, mended, told, wrong = 0, 0, 0, []
    for trial in range(trials):
        rng = random.Random(f"{seed} {kind} {trial}")
        shutil.rmtree(work)
        after = rng.choice(sorted(copies))
        shutil.copytree(copies[after], work)
        path, flipped, place = flip(rng, work)
        what = f"seed {seed}, trial {trial}, after {after}: {place}"
        try:
            fault_builds.build_here(folder, kind, work)
        except (StageError, ValueError, OSError) as error:
            told += 1
            if str(work) not in str(error):
                wrong.append(f"{what}: no file is named in {error}")
            fault_builds.build_here(folder, kind, work)
        else:
            still = path.exists() and path.read_bytes() == flipped
            harmless += still
            mended += not still
        if fault_builds.digests(work) != expected:
            wrong.append(f"{what}: another corpus")
        elif found := list(problems(str(work / "corpus"), lambda *_: None)):
            wrong.append(f"{what}: {found}")
    print(f"{kind}: {trials} flips, {mended} mended, {harmless} in what is not read again, {told} told first")
    assert not wrong
