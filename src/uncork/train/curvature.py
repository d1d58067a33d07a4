"""How sharply a loss bends: products with its Hessian, its largest eigenvalues and its trace, without the matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Below this share of the largest Ritz value, what is left of the space is rounding.
_EXHAUSTED = 1e-10


@dataclass(frozen=True, eq=False)
class Spectrum:
    """values (k,): Ritz values, the largest first; none lies above the largest eigenvalue. residuals (k,): each has an
    eigenvalue no farther away than this. `exhausted`: the Krylov space ended early, so that the values are exact.
    """

    values: Tensor
    residuals: Tensor
    exhausted: bool


def hessian_product(loss: Tensor, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """v (p,) → H v (p,) of a scalar loss of these parameters, p values in all, exact (Pearlmutter, 1994).

    The graph stays in memory as long as the function does. What the loss doesn't depend on has zeros.
    """
    parameters = list(parameters)
    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    flat = torch.cat([part.reshape(-1) for part in first])

    def product(v: Tensor) -> Tensor:
        if not flat.requires_grad:  # a linear loss bends nowhere
            return torch.zeros_like(v)
        parts = torch.autograd.grad(flat, parameters, v, retain_graph=True, materialize_grads=True)
        return torch.cat([part.reshape(-1) for part in parts]).detach()

    return product


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Spectrum:
    """Ritz values of a symmetric operator after `steps` products, from the vector `start` (p,).

    Every new vector is made orthogonal to all before it, twice, since rounding would bring found eigenvalues back as
    ghosts. Source: Golub & Van Loan, Matrix Computations, 4th ed., §10.1-10.3.
    """
    basis = [start / start.norm()]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for step in range(min(steps, len(start))):
        w = product(basis[-1])
        diagonal.append(w @ basis[-1])
        known = torch.stack(basis)
        for _ in range(2):
            w = w - known.T @ (known @ w)
        beside.append(w.norm())
        scale = max(float(value.abs()) for value in (*diagonal, *beside[:-1]))
        if float(beside[-1]) <= _EXHAUSTED * scale or step + 1 == len(start):
            beside[-1] = torch.zeros_like(beside[-1])
            break
        basis.append(w / beside[-1])
    k = len(diagonal)
    small = torch.diag(torch.stack(diagonal).double())
    if k > 1:
        off = torch.stack(beside[: k - 1]).double()
        small = small + torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(small)
    residuals = float(beside[-1]) * vectors[-1].abs()
    return Spectrum(values.flip(0), residuals.flip(0), exhausted=float(beside[-1]) == 0)


def trace_samples(product: Callable[[Tensor], Tensor], like: Tensor, samples: int, random: torch.Generator) -> Tensor:
    """(samples,) independent values v·Hv of random signs v, each with the trace as its mean (Hutchinson, 1990)."""
    found = []
    for _ in range(samples):
        signs = torch.randint(0, 2, like.shape, generator=random, device=random.device).to(like) * 2 - 1
        found.append(signs @ product(signs))
    return torch.stack(found)
