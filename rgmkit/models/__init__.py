"""Model folders: trained weights with their configuration and model card."""

from rgmkit.models.folder import (
    CHECKPOINTS,
    differences,
    info,
    load,
    locate,
    read_config,
    read_weights,
    save,
    shipped,
    writable,
)

__all__ = [
    "CHECKPOINTS",
    "differences",
    "info",
    "load",
    "locate",
    "read_config",
    "read_weights",
    "save",
    "shipped",
    "writable",
]
