"""Against spectra that are known: a quadratic's, and the dense Hessian of a small net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from uncork.train.curvature import hessian_product, lanczos, trace_samples


def start(p: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(p, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def quadratic(eigenvalues: np.ndarray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(a loss, its parameters) with this Hessian's spectrum."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    matrix = torch.from_numpy(q @ np.diag(eigenvalues) @ q.T)
    x = torch.randn(len(eigenvalues), dtype=torch.float64, requires_grad=True)
    return 0.5 * x @ matrix @ x, x


def test_a_quadratics_largest_eigenvalues_and_trace_to_1e_6() -> None:
    eigenvalues = np.concatenate([[50.0, 20.0, 7.0], np.linspace(-1, 1, 197)])
    loss, x = quadratic(eigenvalues)
    product = hessian_product(loss, [x])
    found = lanczos(product, start(200), 40)
    np.testing.assert_allclose(found.values[:3], [50, 20, 7], rtol=1e-6)
    assert (found.residuals[:3] < 1e-6).all()
    # Every Ritz value has an eigenvalue within its residual.
    away = np.abs(found.values.numpy()[:, None] - eigenvalues).min(axis=1)
    assert (away <= found.residuals.numpy() + 1e-9).all()
    # Random signs: variance 2 (|H|² − |diag H|²), so 100 samples are within 5 s.e.: fails with chance below 1e-6.
    samples = trace_samples(product, x, 100, torch.Generator().manual_seed(1))
    assert abs(float(samples.mean()) - eigenvalues.sum()) < 5 * np.sqrt(2 * (eigenvalues**2).sum() / 100)


def test_few_distinct_eigenvalues_are_found_exactly_in_as_many_products() -> None:
    loss, x = quadratic(np.repeat([9.0, 4.0, 1.0], 30))
    found = lanczos(hessian_product(loss, [x]), start(90), 20)
    assert found.exhausted
    np.testing.assert_allclose(found.values, [9, 4, 1], rtol=1e-9)


@pytest.mark.parametrize("steps", [5, 15])
def test_never_above_the_largest_eigenvalue(steps: int) -> None:
    eigenvalues = np.linspace(0, 1, 150)
    loss, x = quadratic(eigenvalues)
    assert float(lanczos(hessian_product(loss, [x]), start(150), steps).values[0]) <= 1 + 1e-12


def test_a_small_nets_dense_hessian() -> None:
    """About 500 parameters, every entry by automatic differentiation."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 11)).double()
    x, y = torch.randn(64, 12, dtype=torch.float64), torch.randint(0, 11, (64,))
    parameters = list(net.parameters())
    sizes = [p.numel() for p in parameters]

    def of_flat(flat: torch.Tensor) -> torch.Tensor:
        parts = [part.view_as(p) for part, p in zip(flat.split(sizes), parameters, strict=True)]
        named = dict(zip([name for name, _ in net.named_parameters()], parts, strict=True))
        return nn.functional.cross_entropy(torch.func.functional_call(net, named, (x,)), y)

    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    dense = torch.autograd.functional.hessian(of_flat, flat)
    product = hessian_product(nn.functional.cross_entropy(net(x), y), parameters)
    v = start(len(flat), seed=1)
    torch.testing.assert_close(product(v), dense @ v, rtol=1e-9, atol=1e-12)
    largest = torch.linalg.eigvalsh(dense).flip(0)
    found = lanczos(product, start(len(flat)), 60)
    torch.testing.assert_close(found.values[:3], largest[:3], rtol=1e-6, atol=1e-9)


def test_what_does_not_bend_has_no_curvature() -> None:
    x = torch.ones(4, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(3, dtype=torch.float64, requires_grad=True)
    product = hessian_product(2 * x.sum(), [x, unused])
    assert lanczos(product, start(7), 5).values.tolist() == [0]
