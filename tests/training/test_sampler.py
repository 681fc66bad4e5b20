"""Order of an epoch: every patch once, full batches, and every block read where and when it is needed."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.training.sampler import chunk_order, in_batches, requests


def blocks_of(counts):
    edges = np.cumsum([0, *counts])
    return [np.arange(a, b) for a, b in itertools.pairwise(edges)]


def draw(counts, size, streams, hold, seed=0):
    return chunk_order(blocks_of(counts), size, streams=streams, hold=hold, generator=np.random.default_rng(seed))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 20),
    st.integers(0, 99),
)
def test_every_patch_once_in_full_batches(counts, size, streams, hold, seed):
    batches = draw(counts, size, streams, hold, seed)
    assert sorted(np.concatenate(batches)) == list(range(sum(counts)))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    assert 1 <= len(batches[-1]) <= size


def test_drawn_anew_by_the_seed_alone():
    counts = [8] * 40
    first, again, other = draw(counts, 16, 2, 64), draw(counts, 16, 2, 64), draw(counts, 16, 2, 64, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


def test_shuffle_is_bounded_and_is_one():
    """No more blocks are open at a time than the buffer holds, and batches mix blocks."""
    counts, hold = [8] * 200, 64
    order = np.concatenate(draw(counts, 16, 1, hold))
    place = np.argsort(order)  # of each patch
    first = np.array([place[8 * i : 8 * i + 8].min() for i in range(200)])
    last = np.array([place[8 * i : 8 * i + 8].max() for i in range(200)])
    begun_at = np.sort(first)
    for time in range(0, 1600, 50):
        is_open = (first <= time) & (last > time)
        assert is_open.sum() * 8 <= 8 * (hold + 8)
    assert begun_at[0] == 0
    batch_blocks = [len(set(order[i : i + 16] // 8)) for i in range(0, 1600, 16)]
    assert np.mean(batch_blocks) > 8  # 2 without shuffling, 16 at most


def test_without_a_seed_the_order_is_that_of_the_blocks():
    batches = chunk_order(blocks_of([3, 2, 4]), 4, streams=3, hold=5, generator=None)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_each_block_is_read_once_by_its_worker(workers):
    counts, streams = np.random.default_rng(1).integers(5, 17, 61), max(1, workers)
    blocks = np.repeat(np.arange(61), counts)
    found = requests(3, draw(counts, 32, streams, 128), blocks=blocks, workers=workers)
    read = np.concatenate([numbers for request in found for numbers in request.reads])
    assert sorted(read) == list(range(counts.sum()))
    readings = sum(len(request.reads) for request in found)
    assert 61 <= readings <= 61 + 16 * streams  # once per block, except those combined at the end
    waiting = [set() for _ in range(streams)]
    for place, request in enumerate(found):
        mine = waiting[place % streams]
        mine.update(np.concatenate(request.reads).tolist() if request.reads else ())
        assert mine >= set(request.numbers.tolist())
        mine.difference_update(request.numbers.tolist())
        assert len(mine) <= 128 + 16
        assert all(len(set(blocks[numbers])) == 1 for numbers in request.reads)
        later = found[place + streams].reads if place + streams < len(found) else ()
        assert [numbers.tolist() for numbers in request.ahead] == [numbers.tolist() for numbers in later]


@pytest.mark.parametrize("count", [9, 10, 12, 13])
def test_ranks_share_the_batches_of_one(count):
    batches = in_batches(np.random.default_rng(0).permutation(count), 4)
    processes = [requests(1, batches, rank=rank, world=3) for rank in range(3)]
    assert {len(found) for found in processes} == {len(batches)}
    for batch, *rows in zip(batches, *processes, strict=True):
        for rank, request in enumerate(rows):
            assert len(request.numbers) > 0
            np.testing.assert_array_equal(request.numbers[: request.real], batch[rank::3])
            if not request.real:
                np.testing.assert_array_equal(request.numbers, batch[:1])
