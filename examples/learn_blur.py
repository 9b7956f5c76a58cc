"""Learn the width of a blur from one pair of a sharp and a blurred image, by gradients through the restoration."""

import torch
from skimage.data import camera
from torch.nn.functional import conv2d, pad

import rgmkit

psnr = rgmkit.metric("psnr")


class Blur(rgmkit.Degradation):
    """A Gaussian blur whose standard deviation is a parameter."""

    def __init__(self, *, std: float = 1.0, noise: float | None = 0.0) -> None:
        super().__init__(noise=noise)
        self.std = torch.nn.Parameter(torch.tensor(std))

    def A(self, x):
        taps = torch.exp(-(torch.arange(-6, 7, device=x.device) ** 2) / (2 * self.std**2)).to(x.dtype)
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        return conv2d(pad(x.flatten(0, 1)[:, None], [6] * 4, mode="replicate"), kernel[None, None]).view_as(x)


if __name__ == "__main__":
    x = torch.from_numpy(camera()[100:132, 210:242] / 255).float()[None, None]
    y = Blur(std=1.7, noise=0.01)(x, generator=torch.Generator().manual_seed(0)).detach()
    blur = Blur(std=1.0, noise=0.01)
    optimiser = torch.optim.Adam(blur.parameters(), lr=0.1)
    for step in range(11):
        restored = rgmkit.restore(y, blur, "tikhonov", solver="admm:iterations=12", differentiable=True).x
        loss = (restored - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 5 == 0:
            quality = psnr(restored.detach(), x).item()
            print(f"step {step:2}: std {blur.std.item():.2f} (true: 1.70), PSNR {quality:.1f} dB")
