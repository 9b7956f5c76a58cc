"""Apply an operator for the first time: what it raises or returns may be a mistake of the user or of a third party."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from rgmkit.errors import IncompatibleError, RgmkitError, describe_cause, is_out_of_memory
from rgmkit.runtime.foreign_code import contain

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation

MOST = 250  # characters of an error of another library


def apply_operator(degradation: Degradation, x: Tensor) -> Tensor:
    """Return `A x`, after checking that it is a batch as long as `x`.

    Raises:
        IncompatibleError: if `A` raises anything but an error of rgmkit or of memory, or returns something else.
    """
    title, shape = degradation.title, tuple(x.shape[1:])
    with explain_size(title, "measure", shape):
        y = degradation.A(x)
    if not isinstance(y, Tensor) or y.ndim < 2 or len(y) != len(x):
        what = f"a tensor {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise IncompatibleError(f"{title}.A returns {what} for {len(x)} images {shape}: return a batch (B, ...)")
    return y


@contextmanager
def explain_size(title: str, verb: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Turn what foreign code raises for an image of this shape into an IncompatibleError of one line."""
    try:
        with contain(title):
            yield
    except RgmkitError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = describe_cause(error)[:MOST]
        raise IncompatibleError(
            f"{title} cannot {verb} an image of shape {shape} ({reason}): check its size"
        ) from error
