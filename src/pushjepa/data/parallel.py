"""A map over processes whose outcome does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # items that wait in line for each process


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``function`` of each item, in order, on ``workers`` processes; in this one if there is only one.

    Items are handed out as results are taken, so that an endless supply is fine and so is stopping early.

    Args:
        function: a module's function, or a ``functools.partial`` of one, that draws on nothing but its argument.
        items: what to call it with.
        workers: how many processes.

    Raises:
        ValueError: a process died; and whatever ``function`` raises.
    """
    if workers == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # forked threads of a loaded runtime would hang
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ValueError("a worker process died; is there enough memory? fewer workers need less") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def count_workers(wanted: int | None, items: int) -> int:
    """How many processes to use: ``wanted``, or every core if None, but no more than there are items.

    Raises:
        ValueError: fewer than one.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"workers must be at least 1, got {wanted}")
    return max(1, min(items, wanted or os.cpu_count() or 1))
