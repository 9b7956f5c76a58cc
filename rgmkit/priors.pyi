# ruff: noqa: I001
# Written by `python -m rgmkit.plugins.classes`; a test keeps it current.

from rgmkit.core.network_prior import NetworkPrior as NetworkPrior
from rgmkit_deepinv.networks import DRUNet as DRUNet
from rgmkit_deepinv.networks import DnCNN as DnCNN
from rgmkit_deepinv.networks import FFDNet as FFDNet
from rgmkit_deepinv.networks import GSDRUNet as GSDRUNet
from rgmkit_deepinv.pixelwise import L1 as L1
from rgmkit_deepinv.plug_and_play import BM3D as BM3D
from rgmkit_deepinv.plug_and_play import MedianFilter as MedianFilter
from rgmkit_deepinv.tikhonov import Tikhonov as Tikhonov
from rgmkit_deepinv.total_variation import TGV as TGV
from rgmkit_deepinv.total_variation import TV as TV
from rgmkit_deepinv.total_variation import TVL1 as TVL1
from rgmkit_deepinv.wavelet import Wavelet as Wavelet
from rgmkit_objectives.regulariser import Regulariser as Regulariser
