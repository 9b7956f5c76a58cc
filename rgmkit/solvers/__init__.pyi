# ruff: noqa: I001
# Written by `python -m rgmkit.plugins.classes`; a test keeps it current.

from rgmkit.solvers.back_projection import BackProjection as BackProjection
from rgmkit.solvers.cascade import Cascade as Cascade
from rgmkit.solvers.gauss_newton import GaussNewton as GaussNewton
from rgmkit.solvers.gradient_descent import GradientDescent as GradientDescent
from rgmkit.solvers.langevin import Langevin as Langevin
from rgmkit.solvers.one_shot import OneShot as OneShot
from rgmkit.solvers.pinv import PseudoInverse as PseudoInverse
from rgmkit.solvers.pnp_drs import PnPDRS as PnPDRS
from rgmkit.solvers.posterior import Posterior as Posterior
from rgmkit_deepinv.posterior_sampling import DPIR as DPIR
from rgmkit_deepinv.posterior_sampling import DPS as DPS
from rgmkit_deepinv.posterior_sampling import DiffPIR as DiffPIR
from rgmkit_deepinv.splitting import ADMM as ADMM
from rgmkit_deepinv.splitting import DRS as DRS
from rgmkit_deepinv.splitting import FISTA as FISTA
from rgmkit_deepinv.splitting import HQS as HQS
from rgmkit_deepinv.splitting import PGD as PGD
from rgmkit_jpeg.dequantise import Dequantise as Dequantise
