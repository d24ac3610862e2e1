from __future__ import annotations

import itertools
import math
import operator
import os
from functools import partial

import pytest

from pushjepa.data.parallel import count_workers, parallel_map


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_stopping_early_is_fine(workers):
    endless = parallel_map(math.factorial, itertools.count(), workers)
    assert list(itertools.islice(endless, 6)) == [1, 1, 2, 6, 24, 120]
    endless.close()
    assert list(parallel_map(partial(operator.add, 1), range(11), workers)) == list(range(1, 12))


def test_errors_come_through_and_a_dead_process_is_told():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(parallel_map(math.sqrt, [1.0, -1.0], 2))
    with pytest.raises(ValueError, match="worker process died"):
        list(parallel_map(os._exit, [3], 2))


def test_workers_are_counted():
    assert count_workers(None, 1) == 1
    assert count_workers(8, 3) == 3
    assert count_workers(None, 10**6) == (os.cpu_count() or 1)
    with pytest.raises(ValueError, match="workers"):
        count_workers(0, 3)
