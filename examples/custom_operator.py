"""Define an operator, a sensor with dead rows, and restore its measurement with total variation."""

import torch
from skimage.data import camera

import rgmkit
from rgmkit.images import write

psnr = rgmkit.metric("psnr")


class DeadRows(rgmkit.Degradation):
    """Every third row (`every`) is lost; at severity s these rows keep the fraction 1 - s of their light."""

    def __init__(self, *, every: int = 3, loss: float = 1.0, noise: float | None = 0.0) -> None:
        super().__init__(noise=noise)
        self.every, self.loss = every, loss

    def gain(self, x):
        dead = torch.arange(x.shape[-2], device=x.device)[:, None] % self.every == 0
        return 1 - self.loss * dead.to(x.dtype)

    def A(self, x):
        return self.gain(x) * x

    def at(self, severity):
        return self.with_options(loss=severity * self.loss, noise=self.noise_at(severity))


if __name__ == "__main__":
    x = torch.from_numpy(camera()[64:192, 160:288] / 255).float()[None, None]
    sensor = DeadRows(noise=0.03)
    y = sensor(x, generator=torch.Generator().manual_seed(0))
    restored = rgmkit.restore(y, sensor, "tv").x
    write("dead_rows.png", torch.cat([x, y, restored], dim=-1))
    print(f"PSNR {float(psnr(y, x)):.1f} dB measured, {float(psnr(restored, x)):.1f} dB restored: dead_rows.png")
