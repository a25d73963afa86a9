"""The thread that reads ahead gives what a loop without it would read."""

import threading

import numpy as np
import pytest

from webtext.model.data import Batches, Corpus, Windows
from webtext.model.loader import AHEAD, Loader


def batches_of(corpus, rows=6):
    return Batches(Windows(Corpus.open(corpus), "train", 16), 16 * rows, seed=5)


@pytest.mark.parametrize(("start", "rank", "world"), [(0, 0, 1), (7, 0, 1), (3, 1, 2), (1, 2, 3)])
def test_batches_come_in_order(counting_corpus, start, rank, world):
    batches = batches_of(counting_corpus)
    with Loader(batches, start, rank, world) as loader:
        for step in range(start, start + 3 * AHEAD):
            assert np.array_equal(loader.next().numpy(), batches.batch(step, rank, world))


def test_leaving_ends_the_thread_though_the_queue_is_full(counting_corpus):
    before = threading.active_count()
    with Loader(batches_of(counting_corpus), 0) as loader:
        loader.next()
    assert threading.active_count() == before


def test_what_is_wrong_with_a_batch_is_raised_where_it_is_used(make_corpus):
    with (
        Loader(batches_of(make_corpus([[[1, 2, 60_000] * 50]])), 0) as loader,
        pytest.raises(ValueError, match="has token 60000"),
    ):
        loader.next()
