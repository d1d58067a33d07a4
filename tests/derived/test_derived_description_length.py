"""Bits of labels: closed forms, brute force, and no row coded by its own label."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from uncork.derived.description_length import BLOCKS, code, length, lengths, of_pool, saved
from uncork.derived.description_length import bits as means
from uncork.schema.pool import PoolData
from uncork.testing.artifacts import a_code_length
from uncork.testing.pools import a_pool

MNIST_ROWS, KBIT = 60_000, 199.3


def a_tree(n: int = 400, **changes: Any) -> PoolData:
    return a_pool(n, 100, halves=4, quarters=4, eighths=8, full=0, **changes)


def test_the_uniform_code_is_a_closed_form() -> None:
    """60,000 rows of 10 classes take 199.3 kbit; so does a net that says nothing, whatever its temperature."""
    assert MNIST_ROWS * length(np.full((3, 1), math.log2(10)), 10)[0] / 1000 == pytest.approx(KBIT, abs=0.05)
    pool = a_tree(classes=10)
    silent = dataclasses.replace(pool, on_train=np.zeros_like(pool.on_train))
    found, reasons = lengths(silent, a_code_length(0))
    np.testing.assert_allclose(found["net"], math.log2(10), rtol=1e-12)
    assert reasons == ["no train"]


def test_a_model_that_knows_all_pays_for_the_first_block_alone() -> None:
    pool = a_tree(error=1e-6, memorised=True)
    own = np.full_like(pool.on_train, -100)
    own[:, np.arange(400), pool.y] = 0
    (each,) = lengths(dataclasses.replace(pool, on_train=own), a_code_length(0))[0].values()
    assert each.min() >= math.log2(3) / 8
    assert each.mean() < math.log2(3) / 8 + 0.02  # the share of the uniform code


def test_brute_force() -> None:
    """Every order of sending that the tree's models serve, block by block: the mean of the whole codes' lengths."""
    pool = a_tree(240, classes=4, error={8: 0.4, 4: 0.3, 2: 0.2})
    trained_on, bits = pool.trained_on, {}
    for _, size in BLOCKS:
        for member in pool.members(size):
            rows = np.flatnonzero(~trained_on[member])
            each = code(pool.on_train[member, rows], pool.y[rows], pool.clusters[rows], 240 - len(rows))
            bits[member] = dict(zip(rows, each, strict=True))
    sent = []
    for permutation, *places in itertools.product(
        range(2), *([*itertools.permutations(range(s), 2)] for s in (8, 4, 2))
    ):
        total = 30 * math.log2(4)
        for (_, size), (before, block) in zip(BLOCKS, places, strict=True):
            of = permutation if size == 2 else 0
            member, sender = (
                next(m for m in pool.members(size) if (pool.permutation[m], pool.part[m]) == (of, part))
                for part in (before, block)
            )
            total += sum(bits[member][row] for row in np.flatnonzero(trained_on[sender]))
        sent.append(total)
    found = lengths(pool, a_code_length(0))[0]["net"]
    assert found.sum() == pytest.approx(np.mean(sent))
    assert len(sent) == 2 * 56 * 12 * 2


def test_the_unit_is_the_cluster() -> None:
    pool = a_tree(clusters=np.arange(400) // 2)
    assert means(lengths(pool, a_code_length(0))[0], pool)["bits"].n == 200


def test_the_temperature_by_another_minimiser() -> None:
    """Logits 4 times too sharp. A temperature from other rows does no better than the best, and nearly as well: about
    half a nat in 150 rows worse (fixed seed)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 5))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)

    def mixed(log_temperature: np.ndarray) -> float:
        chance = np.exp(log_softmax(4 * logits / np.exp(log_temperature), axis=1))[np.arange(300), y]
        return float(-np.log2(50 / 51 * chance + 1 / 51 / 5).mean())

    best = minimize(mixed, [0.0], method="Nelder-Mead")
    assert 2.5 < math.exp(best.x[0]) < 6
    assert best.fun <= code(4 * logits, y, np.arange(300), 50).mean() < best.fun + 0.02 < mixed(np.zeros(1))


def test_no_row_is_coded_by_its_own_label() -> None:
    """Labels permuted within a block can't be written in fewer than log2 K bits. A temperature fitted on the rows that
    it codes would never need more, on average .7 bits a block fewer; from other rows it needs more. 300 blocks of 20
    rows: a mean excess at or below 2 s.e. has a chance below 1e-3 (measured: 7 s.e., and −9
    with their own labels; fixed seeds)."""
    excess = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        logits = rng.normal(scale=2, size=(20, 3))
        excess.append(code(logits, rng.permutation(np.arange(20) % 3), np.arange(20), 1000).sum() - 20 * math.log2(3))
    assert np.mean(excess) > 2 * np.std(excess) / math.sqrt(300)


def test_copies_do_not_give_the_label_away() -> None:
    """Each row twice: kept together the bits are those of the rows told once, in halves of the same clusters."""
    rng = np.random.default_rng(1)
    logits, y = rng.normal(scale=2, size=(40, 3)), rng.integers(3, size=40)
    once = code(logits, y, np.arange(40), 100)
    twice = code(np.repeat(logits, 2, axis=0), np.repeat(y, 2), np.repeat(np.arange(40), 2), 100)
    np.testing.assert_allclose(twice, np.repeat(once, 2), rtol=1e-6)


def test_a_class_never_seen_has_a_price() -> None:
    logits = np.tile([0.0, -30.0], (10, 1))
    bits = code(logits, np.array([0] * 9 + [1]), np.arange(10), 100)
    assert bits.max() <= math.log2(2 * 101)


def test_order_of_rows_and_a_single_row() -> None:
    rng = np.random.default_rng(2)
    logits, y, clusters = rng.normal(size=(50, 3)), rng.integers(3, size=50), rng.integers(30, size=50)
    order = rng.permutation(50)
    np.testing.assert_allclose(
        code(logits, y, clusters, 9)[order], code(logits[order], y[order], clusters[order], 9), rtol=1e-3
    )
    assert np.isfinite(code(logits[:1], y[:1], clusters[:1], 9)).all()


def test_sizes_that_are_missing_have_a_reason() -> None:
    short = a_pool(full=0, quarters=4, left_out={"eighths": "no time"})
    assert of_pool(short) == "no time"
    assert of_pool(a_pool(full=0)) == "too few models of eighths"
    assert lengths(short, a_code_length(400, linear=1.0))[1] == ["the recipe: no time"]


def test_families_are_paired_by_row() -> None:
    """.1 fewer bits on every row, and a little more or less: the difference varies by that little, not as rows do."""
    pool = a_tree()
    each = lengths(pool, a_code_length(400, linear=0.5))[0]["linear"]
    less = saved({"net": each + 0.1, "linear": each + 0.01 * np.sin(np.arange(400))}, pool)
    own = means({"linear": each}, pool)["bits_linear"]
    assert less["linear"].value == pytest.approx(0.1, abs=1e-3)
    assert less["linear"].se < own.se / 5
