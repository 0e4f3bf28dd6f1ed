"""Members cut into chunks that the memory holds, and what comes out of them put together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import jax
import numpy as np

from inr_jax.sweep import plan as planner
from inr_jax.sweep.plan import Plan

T = TypeVar("T")


def chunk_by_chunk(
    groups: Iterable[np.ndarray], plan: Plan, fit_one: Callable[[np.ndarray, Plan], T]
) -> Iterator[tuple[np.ndarray, T | Exception, Plan]]:
    """Each group of members, cut into chunks and fitted: its members, the result, and the plan by which.

    A chunk that the memory does not hold is halved, and so are those after it; where a single member does not fit it
    fails alone: the error is its result.
    """
    waiting = list(groups)[::-1]
    while waiting:
        rows = waiting.pop()
        if len(rows) > plan.chunk:
            waiting += chunks(rows, plan.chunk)[::-1]
            continue
        try:
            fitted: T | Exception = fit_one(rows, plan)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if plan.chunk > 1:
                waiting.append(rows)
                plan = planner.halved(plan)
                continue
            fitted = error
        yield rows, fitted, plan


def of_all(rows: np.ndarray, plan: Plan, of_chunk: Callable[[np.ndarray, Plan], T]) -> tuple[T, Plan]:
    """Apply `of_chunk` to each chunk, drop the padding and concatenate. Also returns the final plan.

    Raises the error of a member that fails alone.
    """
    parts = []
    for here, part, smaller in chunk_by_chunk([rows], plan, of_chunk):
        if isinstance(part, Exception):
            raise part
        parts.append(jax.tree.map(partial(_first, len(here)), part))
        plan = smaller
    return joined(parts), plan


def joined(parts: Sequence[T]) -> T:
    """Trees of members concatenated."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def chunks(rows: np.ndarray, chunk: int) -> list[np.ndarray]:
    """The rows, chunk by chunk."""
    return [rows[first : first + chunk] for first in range(0, len(rows), chunk)]


def padded(rows: np.ndarray, chunk: int) -> np.ndarray:
    """The rows, the last repeated up to the chunk's size: one program for every chunk, and the same bits."""
    return np.concatenate([rows, np.repeat(rows[-1:], chunk - len(rows))])


def _out_of_memory(error: Exception) -> bool:
    # Where a program is run at once, XLA wraps its refusal to allocate into an INTERNAL error.
    words = ("RESOURCE_EXHAUSTED", "Out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _first(members: int, leaf: np.ndarray) -> np.ndarray:
    """The leaf without the members that only fill up the chunk."""
    return leaf[:members]
