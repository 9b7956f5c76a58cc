"""The components of rgmkit itself, registered through the same entry point group as those of all plugins."""

from __future__ import annotations

from rgmkit.plugins.component import Component
from rgmkit.plugins.hookspec import hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the network prior, composed degradations, solvers, the generic forward process, and data sets."""
    return [
        Component("prior", "network", "rgmkit.core.network_prior:NetworkPrior", "A trained network"),
        Component("degradation", "compose", "rgmkit.core.compose:Compose", "Degradations one after the other"),
        Component("solver", "one-shot", "rgmkit.solvers.one_shot:OneShot", "One network evaluation"),
        Component(
            "solver", "back-projection", "rgmkit.solvers.back_projection:BackProjection", "A few network evaluations"
        ),
        Component("solver", "cascade", "rgmkit.solvers.cascade:Cascade", "Level by level: generates, and restores"),
        Component("solver", "gauss-newton", "rgmkit.solvers.gauss_newton:GaussNewton", "Operators that are not linear"),
        Component(
            "solver", "gradient-descent", "rgmkit.solvers.gradient_descent:GradientDescent", "Priors with a gradient"
        ),
        Component("solver", "langevin", "rgmkit.solvers.langevin:Langevin", "Draws by Langevin dynamics; generates"),
        Component("solver", "pinv", "rgmkit.solvers.pinv:PseudoInverse", "Least squares, with no prior"),
        Component("solver", "pnp-drs", "rgmkit.solvers.pnp_drs:PnPDRS", "Plug-and-play Douglas-Rachford splitting"),
        Component("solver", "posterior", "rgmkit.solvers.posterior:Posterior", "Draws, with calibrated uncertainty"),
        Component("process", "severity", "rgmkit.core.severity:SeverityProcess", "The severities of any degradation"),
        Component("data", "digits", "rgmkit.training.data.digits:Digits", "Handwritten digits, 16x16"),
        Component("data", "folder", "rgmkit.training.data.files:Folder", "Crops of the pictures in a folder"),
        Component("data", "npz", "rgmkit.training.data.files:Arrays", "Images in an .npz or .npy file"),
        Component("data", "archive", "rgmkit.training.data.archives:Archive", "Crops of the pictures in a tar archive"),
        Component("data", "shards", "rgmkit.training.data.archives:Shards", "Crops from many archives, streamed"),
        Component("data", "torchvision", "rgmkit.training.data.named:Torchvision", "A torchvision data set by name"),
        Component("data", "huggingface", "rgmkit.training.data.named:HuggingFace", "A Hugging Face data set by name"),
        Component("data", "gmm", "rgmkit.training.data.toys:GMM", "8 Gaussians on a circle, 2-D points"),
        Component("data", "gaussian25", "rgmkit.training.data.toys:Gaussian25", "25 Gaussians on a grid, 2-D points"),
        Component("data", "checkerboard", "rgmkit.training.data.toys:Checkerboard", "8 squares, 2-D points"),
    ]
