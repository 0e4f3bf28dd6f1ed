"""Budgets: the width or the rank with which a design has a given number of parameters."""

from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr_jax.fit import networks
from inr_jax.fit.design import SHAPES, Design, Hyper, assemble
from inr_jax.fit.pinned import pinned
from inr_jax.settings import Refused, nearest


@lru_cache(maxsize=256)
def sized(design: Design, dims: int = 2, channels: int = 3) -> Design:
    """The design with the largest `width`, or what it solves for, that its number of `parameters` leaves room for.

    Without such a number the design as it is. Raises Refused where even the least has more.
    """
    if not design.parameters:
        return design
    name, free = design.solve_for, design.replace(parameters=0)
    if name not in free:
        there = [each for each in SHAPES if each in free]
        raise Refused(
            f"solve_for={name!r} is not read by this design; {nearest(name, there) if there else 'nor another'}"
        )

    @cache
    def count(value: int) -> int:
        return count_parameters(free.replace(**{name: value}), dims, channels)

    if (least := count(1)) > design.parameters:
        raise Refused(f"parameters={design.parameters} is out of range: with {name}=1 there are {least}")
    low = _guess((least, count(2), count(3)), design.parameters)
    high, stride = low + 1, 1
    while count(low) > design.parameters:
        low, high, stride = max(1, low - stride), low, 2 * stride
    while (more := count(high)) <= design.parameters:
        if more <= count(low):
            raise Refused(f"parameters={design.parameters} is out of range: they do not grow with {name} beyond {more}")
        low, high, stride = high, high + stride, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= design.parameters else (low, middle)
    return free.replace(**{name: low})


def _guess(counts: tuple[int, int, int], budget: int) -> int:
    """The value whose count is the budget, if counts are quadratic in it, as most are: from those of 1, 2 and 3."""
    square = (counts[2] - 2 * counts[1] + counts[0]) / 2
    linear = counts[1] - counts[0] - 3 * square
    constant = counts[0] - square - linear
    roots = np.roots([square, linear, constant - budget])
    return max([1, *(int(root.real) for root in roots)])


@pinned()
def count_parameters(design: Design, dims: int = 2, channels: int = 3) -> int:
    """The real numbers that a member of this design trains, in encoding and network; nothing is drawn or allocated."""
    design = sized(design, dims, channels)
    fit, key = assemble(design, Hyper()), jax.random.key(0)
    encoding = jax.eval_shape(lambda: fit.encoding.init(key, dims))
    features = jax.eval_shape(fit.encoding.apply, encoding, jax.ShapeDtypeStruct((1, dims), jnp.float32))
    network = jax.eval_shape(lambda x: networks.init(fit.network(channels), key, x), features)
    return count_numbers((encoding.params, network.params))


def count_numbers(tree: Any) -> int:
    """The numbers in a tree of arrays, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
