"""Training objectives without a critic network of their own: distances between estimates and data."""

from __future__ import annotations

from rgmkit import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the objectives; modules are imported when one is used."""
    return [
        Component("objective", "mmse", "rgmkit_objectives.mmse:MMSE", "Mean squared error: trains a denoiser"),
        Component("objective", "mmd", "rgmkit_objectives.mmd:MMD", "Kernel distance (MMD), fixed or learned features"),
        Component("objective", "dswd", "rgmkit_objectives.dswd:DSWD", "Sliced Wasserstein distance, learned slices"),
    ]
