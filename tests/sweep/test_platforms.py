"""Every program lowers for GPUs and TPUs on a machine that has none, and what it is lowered to fits these."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inr_jax as inr
from inr_jax.fit.design import Design, complete
from inr_jax.fit.grids import ENCODINGS
from inr_jax.fit.metrics import metric_names
from inr_jax.fit.networks import NETWORKS, coordinates
from inr_jax.fit.optimizers import OPTIMIZERS
from inr_jax.fit.pinned import double_precision, pinned
from inr_jax.fit.products import ROUNDED
from inr_jax.sweep.plan import plan
from inr_jax.sweep.programs import Programs, uncompiled
from inr_jax.tasks import TASKS

PLATFORMS = ("cuda", "tpu")
COLLECTIVE = re.compile(r"stablehlo\.(all_\w+|collective\w*|reduce_scatter|send|recv|infeed)\b")
PRODUCT = re.compile(r"stablehlo\.dot_general.*")
DOUBLE = re.compile(r"[<x](f64|complex<f64>)>")
IMAGE = inr.images.load("synthetic:natural_noise", size=16)
SPLIT = inr.tasks.split(IMAGE, "quarter")
SMALL = {"width": 8, "depth": 2, "frequencies": 8, "steps": 3}
SOLID = np.full((8, 8, 8, 1), np.nan, np.float32)
TRUTHS = {
    "audio": np.linspace(0, 1, 32, dtype=np.float32)[:, None],
    "video": np.zeros((4, 8, 8, 1), np.float32),
    "occupancy": SOLID,
    "signed_distance": SOLID,
}
GIVEN = {"tomography": {"angles": 5}, "occupancy": {"points": 64}, "signed_distance": {"points": 64}}


def small(**choices) -> Design:
    """The design of these choices, with as little of what it reads as there may be."""
    design = Design(**choices)
    return design.replace(**{name: value for name, value in SMALL.items() if design.get(name) is not None})


def lowered(design: Design, task: inr.Task) -> dict[str, str]:
    """The design's programs as they are planned for an accelerator, lowered for both platforms, as text."""
    hypers = complete(design, inr.hypers(seed=[0, 1]))
    made = plan(design, hypers, task, chunk=2, backend="gpu")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), (hypers, task))
    jobs = uncompiled(design, made.block, made.precompute, made.tile, 1, metric_names(), *shapes)
    with pinned():
        texts = [jax.export.export(f, platforms=PLATFORMS)(*given).mlir_module() for f, *given in jobs]
    return dict(zip(Programs._fields, texts, strict=False))


def check_fit_for_accelerators(design: Design, task: inr.Task = SPLIT) -> None:
    for name, text in lowered(design, task).items():
        assert not COLLECTIVE.findall(text), name
        assert not DOUBLE.findall(text), name
        assert not re.findall(r"tensor<[^>]*\?", text), name
        if design.get("precision", "float32") == "float32":
            for product in PRODUCT.findall(text):
                assert "precision = [HIGHEST, HIGHEST]" in product, (name, product)


def usually(usual: tuple[str, ...], names) -> list:
    return [pytest.param(name, marks=() if name in usual else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("network", usually(("siren",), NETWORKS))
def test_every_network_lowers_for_gpu_and_tpu(network):
    encoding = {"encoding": "identity" if coordinates(network) else "gaussian"}
    if network == "direct":  # its features are the values
        encoding = {"encoding": "grid", "rank": 3, "cells": 4}
    check_fit_for_accelerators(small(network=network, **encoding))


@pytest.mark.parametrize("encoding", usually(("gaussian",), ENCODINGS))
def test_every_encoding_lowers_for_gpu_and_tpu(encoding):
    check_fit_for_accelerators(small(encoding=encoding))


@pytest.mark.parametrize("optimizer", usually((), OPTIMIZERS))
def test_every_optimizer_lowers_for_gpu_and_tpu(optimizer):
    check_fit_for_accelerators(small(optimizer=optimizer, schedule="plateau", average="ema", pixels=8))


@pytest.mark.parametrize("precision", usually(("bfloat16",), ROUNDED))
def test_every_precision_lowers_for_gpu_and_tpu(precision):
    check_fit_for_accelerators(small(precision=precision))


@pytest.mark.parametrize("task", usually(("tomography",), TASKS))
def test_every_task_lowers_for_gpu_and_tpu(task):
    made = getattr(inr.tasks, task)(TRUTHS.get(task, IMAGE), **GIVEN.get(task, {}))
    check_fit_for_accelerators(small(network="siren", encoding="identity"), made)


def test_what_no_accelerator_can_run_would_be_found():
    def looked_at(x):
        return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    # So that a program which calls the host is not lowered for both at all.
    with pytest.raises(NotImplementedError, match="callback"):
        jax.export.export(jax.jit(looked_at), platforms=PLATFORMS)(np.float32(1))
    low = jax.export.export(jax.jit(lambda x: x @ x), platforms=PLATFORMS)(np.ones((2, 2), np.float32)).mlir_module()
    assert not [product for product in PRODUCT.findall(low) if "HIGHEST" in product]
    with double_precision():
        assert DOUBLE.findall(jax.export.export(jax.jit(jnp.sin))(np.ones(2)).mlir_module())
