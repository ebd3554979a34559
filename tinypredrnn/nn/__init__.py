"""Building blocks of networks: modules with parameters, layers, losses."""

from tinypredrnn.nn.layers import BatchNorm, Conv2d, ConvTranspose2d, LayerNorm, Linear, rectify
from tinypredrnn.nn.losses import find_loss
from tinypredrnn.nn.module import Module, fan_in_uniform, glorot_uniform, lecun_uniform, parameter, zeros

__all__ = ["BatchNorm", "Conv2d", "ConvTranspose2d", "LayerNorm", "Linear", "Module", "fan_in_uniform", "find_loss",
           "glorot_uniform", "lecun_uniform", "parameter", "rectify", "zeros"]
