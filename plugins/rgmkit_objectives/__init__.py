"""Training objectives without a critic, and the regulariser: a trained explicit prior."""

from __future__ import annotations

from rgmkit import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the objectives and the prior; modules are imported when one is used."""
    return [
        Component("objective", "mmse", "rgmkit_objectives.mmse:MMSE", "Mean squared error: trains a denoiser"),
        Component("objective", "mmd", "rgmkit_objectives.mmd:MMD", "Kernel distance (MMD), fixed or learned features"),
        Component(
            "objective",
            "adversarial-regulariser",
            "rgmkit_objectives.adversarial_regulariser:AdversarialRegulariser",
            "Trains an explicit prior g(x)",
        ),
        Component("prior", "regulariser", "rgmkit_objectives.regulariser:Regulariser", "A trained g(x) with gradient"),
        Component("objective", "dswd", "rgmkit_objectives.dswd:DSWD", "Sliced Wasserstein distance, learned slices"),
    ]
