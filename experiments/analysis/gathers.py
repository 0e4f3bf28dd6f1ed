"""What a hash grid's gathers and scatters take on this machine, in milliseconds, beside its decoder."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inr_jax.cli.arguments import Command, positive, run
from inr_jax.fit.design import Design, assemble, hypers, member_of
from inr_jax.fit.encodings import Variables
from inr_jax.fit.grids import corners
from inr_jax.fit.networks import apply, init
from inr_jax.sweep.plan import CPU_BLOCK

LEVELS, ENTRIES, FEATURES, FINEST = 16, 12, 2, 256.0


def main(argv: Sequence[str]) -> int:
    """Print the medians of interleaved repeats, compile time apart."""
    declared = Command("experiments.analysis.gathers", __doc__)
    declared.add_argument("--pixels", metavar="N", type=positive, default=16384, help="pixels of a step")
    declared.add_argument("--repeats", metavar="N", type=positive, default=15, help="repeats of each part")
    request = declared.parse(argv)
    print(f"{LEVELS} levels of {2**ENTRIES:,} entries of {FEATURES}, {request.pixels:,} pixels")
    for name, milliseconds in timed(request.pixels, request.repeats).items():
        print(f"{name:58} {milliseconds:6.1f} ms")
    return 0


def timed(pixels: int, repeats: int) -> dict[str, float]:
    """Return the milliseconds of each part, medians of interleaved repeats, compile time apart."""
    works = parts(pixels)
    for function, inputs in works.values():
        jax.block_until_ready(function(*inputs))
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, (function, inputs) in works.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*inputs))
            took[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(each)) for name, each in took.items()}


def parts(pixels: int) -> dict[str, tuple[Callable, tuple]]:
    """Return the parts of a step by name: a compiled function and its inputs."""
    draw = np.random.default_rng(0)
    place = jnp.asarray(draw.random((pixels, 2)), jnp.float32)
    table = jnp.asarray(draw.normal(size=(LEVELS, 2**ENTRIES, FEATURES)), jnp.float32)
    design = Design(
        encoding="hash", hash_levels=LEVELS, hash_entries=ENTRIES, hash_features=FEATURES, width=64, depth=2
    )
    numbers = member_of(hypers(design, finest=[FINEST]), 0)
    fit = assemble(design, numbers)
    encode = lambda table: fit.encoding.apply(Variables({"table": table}, {}), place)  # noqa: E731
    features = encode(table)
    decoder = init(fit.network(3), jax.random.key(0), features)

    def indices(finest: Array) -> list[tuple[Array, Array]]:
        return [
            corners(place, 16.0 * (finest / 16.0) ** (level / (LEVELS - 1)) - 1, ENTRIES) for level in range(LEVELS)
        ]

    def decoded(params: Any, features: Float[Array, "n f"]) -> Float[Array, ""]:
        return jnp.mean(jnp.square(apply(fit.network(3), Variables(params, {}), features)))

    index, weight = (jnp.stack(each) for each in zip(*indices(jnp.float32(FINEST)), strict=True))
    order = jnp.argsort(index.reshape(LEVELS, -1), axis=1)
    ends = [jnp.searchsorted(jnp.sort(each.ravel()), jnp.arange(2**ENTRIES + 1)) for each in index]

    def summed(gradient: Float[Array, "n f"]) -> Float[Array, "l e f"]:
        found = []
        for level, each in enumerate(gradient.reshape(pixels, LEVELS, FEATURES).swapaxes(0, 1)):
            rows = each[order[level] % pixels] * weight[level].ravel()[order[level]][:, None]
            total = jnp.concatenate([jnp.zeros((1, FEATURES)), jnp.cumsum(rows, axis=0)])
            found.append(total[ends[level][1:]] - total[ends[level][:-1]])
        return jnp.stack(found)

    back = lambda table, gradient: jax.vjp(encode, table)[1](gradient)[0]  # noqa: E731

    def blocks(table: Array, gradient: Array) -> Array:
        rows = (-1, CPU_BLOCK, 2), (-1, CPU_BLOCK, gradient.shape[1])

        def add(total: Array, block: tuple[Array, ...]) -> tuple[Array, None]:
            place, gradient = block
            of_table = lambda table: fit.encoding.apply(Variables({"table": table}, {}), place)  # noqa: E731
            return total + jax.vjp(of_table, table)[1](gradient)[0], None

        parts = tuple(each.reshape(shape) for each, shape in zip((place, gradient), rows, strict=True))
        return jax.lax.scan(add, jnp.zeros_like(table), parts)[0]

    works: dict[str, tuple[Callable, tuple]] = {
        "indices and weights of all levels": (indices, (jnp.float32(FINEST),)),
        "features: indices, weights, gathers": (encode, (table,)),
        "gradient of the table: indices, weights, scatters": (back, (table, features)),
        "the same by sums over sorted entries": (summed, (features,)),
        "decoder, two layers of 64, with its gradient": (jax.grad(decoded, (0, 1)), (decoder.params, features)),
    }
    if pixels % CPU_BLOCK == 0:
        works[f"gradient of the table in blocks of {CPU_BLOCK:,} pixels"] = (blocks, (table, features))
    return {name: (jax.jit(function), inputs) for name, (function, inputs) in works.items()}


if __name__ == "__main__":
    run(main)
