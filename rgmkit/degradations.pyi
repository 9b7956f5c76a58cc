# ruff: noqa: I001
# Written by `python -m rgmkit.plugins.classes`; a test keeps it current.

from rgmkit.core.compose import Compose as Compose
from rgmkit_blur.blur import Blur as Blur
from rgmkit_blur.motion import MotionBlur as MotionBlur
from rgmkit_colour.grayscale import Grayscale as Grayscale
from rgmkit_deepinv.operators import CompressedSensing as CompressedSensing
from rgmkit_deepinv.operators import Demosaicing as Demosaicing
from rgmkit_deepinv.operators import MRI as MRI
from rgmkit_deepinv.operators import SinglePixel as SinglePixel
from rgmkit_deepinv.operators import Tomography as Tomography
from rgmkit_downsample.downsample import Downsample as Downsample
from rgmkit_inpaint.inpaint import Inpaint as Inpaint
from rgmkit_jpeg.jpeg import Jpeg as Jpeg
from rgmkit_noise.noise import GaussianNoise as GaussianNoise
from rgmkit_raw.bayer import Bayer as Bayer
