"""Pictures in and out: `read`, `write`, and `grid` for sheets of samples."""

from rgmkit.images.picture import Picture
from rgmkit.images.reading import decode, read
from rgmkit.images.sheet import grid
from rgmkit.images.writing import Written, check_target, write

__all__ = ["Picture", "Written", "check_target", "decode", "grid", "read", "write"]
