"""A picture: its colours, its alpha channel, and the depth that it was stored in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready to be degraded or restored.

    Attributes:
        x: colours, float32 (1, C, H, W), in [0, 1] unless the file held other floats.
        alpha: transparency (1, 1, H, W) in [0, 1], set aside and written back; None without.
        bits: depth of a stored value: 8, 16, or 32 for floats.
        notes: for the user, what reading left out.
    """

    x: Tensor
    alpha: Tensor | None = None
    bits: int = 8
    notes: tuple[str, ...] = ()

    def crop(self, height: int, width: int) -> Picture:
        """Return the top left part of at most `height` by `width` pixels.

        >>> import torch
        >>> Picture(torch.zeros(1, 3, 9, 7)).crop(8, 6).x.shape
        torch.Size([1, 3, 8, 6])
        """
        alpha = None if self.alpha is None else self.alpha[..., :height, :width]
        return replace(self, x=self.x[..., :height, :width], alpha=alpha)
