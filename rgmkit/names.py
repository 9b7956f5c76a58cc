"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """The nearest known name and all of them, for the end of an error.

    >>> nearest("psrn", ["psnr", "ssim"])
    "did you mean 'psnr'? (there are psnr, ssim)"
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    return f"{f'did you mean {near[0]!r}? ' if near else ''}(there are {', '.join(names) or 'none'})"
