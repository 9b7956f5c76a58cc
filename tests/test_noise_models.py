from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.core.noise import Noise, White
from rgmkit.core.random import seeded
from rgmkit.core.whitened import Whitened

SHAPE = (3, 6, 5)


def images(n=1, shape=SHAPE):
    return 0.1 + 0.9 * torch.rand(n, *shape, generator=seeded(1), dtype=torch.float64)


def spectrum(height, width):
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    return 0.01 / (0.05 + y**2 + 2 * x**2 + x * y)


MODELS = {
    "white": lambda: White(std=0.2),
    "per-channel": lambda: rgmkit.noise("per-channel", std=(0.1, 0.3, 0.2)),
    "per-pixel": lambda: rgmkit.noise("per-pixel", std=0.1 + images()[0]),
    "spectrum": lambda: rgmkit.noise("correlated", spectrum=spectrum(6, 5)),
    "kernel": lambda: rgmkit.noise("correlated", kernel=np.array([[0.2, 1.0], [0.5, 0.0]]), std=0.3),
    "poisson": lambda: rgmkit.noise("poisson", photons=20),
    "poisson-gaussian": lambda: rgmkit.noise("poisson-gaussian", photons=20, read=0.1),
    "scaled": lambda: rgmkit.noise("poisson-gaussian", photons=20, read=0.1).scale(0.5),
}


def covariance(noise: Noise, Ax):
    """The covariance by brute force: of Gaussian models through the definition of each, not through its methods."""
    n = Ax.numel()
    if getattr(noise, "kernel", None) is not None:
        rows = []
        for i in range(n):
            e = torch.zeros(n, dtype=Ax.dtype)
            e[i] = 1
            rolled = [noise.kernel[a, b] * e.view_as(Ax).roll((a, b), (-2, -1)) for a in range(2) for b in range(2)]
            rows.append(sum(rolled).flatten())
        C = torch.stack(rows).T
        C = C @ C.T
        return C * (noise.std**2 / C[0, 0])
    if getattr(noise, "spectrum", None) is not None:
        S = torch.from_numpy(noise.spectrum)
        S = (S + S.flip(0, 1).roll((1, 1), (0, 1))) / 2
        row = torch.fft.ifft2(S).real  # the autocovariance
        columns = [row.roll((i, j), (0, 1)).flatten() for i in range(Ax.shape[-2]) for j in range(Ax.shape[-1])]
        return torch.block_diag(*[torch.stack(columns)] * Ax.shape[1])
    return torch.diag(noise.variance(Ax).expand(Ax.shape).flatten())


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_mean_and_covariance(name):
    noise, Ax, n = MODELS[name](), images(), 20000
    draws = noise.sample(Ax.expand(n, -1, -1, -1), generator=seeded(2)).flatten(1) - Ax.flatten(1)
    C = covariance(noise, Ax)
    assert (draws.mean(0).abs() <= 5 * (C.diagonal() / n).sqrt()).all()
    scale = (C.diagonal()[:, None] * C.diagonal()).sqrt()
    kurtosis = 3 if name not in ("poisson", "poisson-gaussian", "scaled") else 6
    assert ((draws.T @ draws / n - C).abs() <= 5.5 * scale * math.sqrt(kurtosis / n)).all()


@pytest.mark.parametrize("name", MODELS)
def test_whitening_is_the_inverse_root_of_the_covariance(name):
    noise, Ax = MODELS[name](), images()
    C = covariance(noise, Ax)
    basis = torch.eye(Ax.numel(), dtype=Ax.dtype).view(-1, *SHAPE)
    W = noise.whiten(basis, Ax).flatten(1).T
    torch.testing.assert_close(W @ C @ W.T, torch.eye(len(C), dtype=C.dtype), atol=1e-9, rtol=0)
    torch.testing.assert_close(noise.colour(noise.whiten(basis, Ax), Ax), basis, atol=1e-9, rtol=0)
    torch.testing.assert_close(noise.variance(Ax).expand(Ax.shape).flatten(), C.diagonal(), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_whitened_prox_minimises_the_fidelity(name):
    noise, x = MODELS[name](), images()
    blur = rgmkit.degradation("blur", std=0.7)
    Ax = blur.A(x)
    y, z = noise.sample(Ax, generator=seeded(3)), images()
    whitened = Whitened(blur, noise, Ax)
    gamma = 0.7 / whitened.noise**2
    found = whitened.prox(z, whitened.whiten(y), gamma).flatten()
    A = blur.A(torch.eye(x.numel(), dtype=x.dtype).view(-1, *SHAPE)).flatten(1).T
    precision = torch.linalg.inv(covariance(noise, Ax))
    H = torch.eye(len(A), dtype=A.dtype) + 0.7 * A.T @ precision @ A
    b = z.flatten() + 0.7 * A.T @ precision @ y.flatten()
    wanted = torch.linalg.solve(H, b)
    torch.testing.assert_close(found, wanted, atol=1e-5 * float(b.norm()), rtol=0)  # the residual of the iteration
