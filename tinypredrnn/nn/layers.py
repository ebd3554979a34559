"""Layers: ops of autograd with their own parameters. Each takes the Generator that draws its initial weights, and
`initial`, the function of module.py that says how."""

import numpy as np

from tinypredrnn.autograd import Tensor, conv2d, conv2d_transpose, fuse, matmul, normalise, relu
from tinypredrnn.errors import ConfigError
from tinypredrnn.nn.module import Module, fan_in_uniform, parameter, zeros


class Conv2d(Module):
    """conv2d with weights (kernel, kernel, channels, features) and, unless `bias` is False, a bias: (B,H,W,channels) ->
    (B,H',W',features)
    """

    def __init__(self, channels, features, kernel, rng, stride=1, padding="same", dilation=1, bias=True,
                 initial=fan_in_uniform):
        self.weight = initial(rng, (kernel, kernel, channels, features))
        self.bias = zeros(features) if bias else None
        self.options = dict(stride=stride, padding=padding, dilation=dilation)

    def forward(self, x):
        return conv2d(x, self.weight, self.bias, **self.options)


class ConvTranspose2d(Module):
    """conv2d_transpose with weights (kernel, kernel, features, channels) and, unless `bias` is False, a bias:
    (B,H,W,channels) -> (B,H stride,W stride,features), or frames of another `size` that the stride maps to (H,W)
    """

    def __init__(self, channels, features, kernel, rng, stride=1, bias=True, initial=fan_in_uniform):
        self.weight = initial(rng, (kernel, kernel, features, channels))
        self.bias = zeros(features) if bias else None
        self.stride = stride

    def forward(self, x, size=None):
        return conv2d_transpose(x, self.weight, self.bias, stride=self.stride, size=size)


class Linear(Module):
    """x W + b: (..., features_in) -> (..., features_out)"""

    def __init__(self, features_in, features_out, rng, initial=fan_in_uniform):
        self.weight = initial(rng, (features_in, features_out))
        self.bias = zeros(features_out)

    def forward(self, x):
        return matmul(x, self.weight) + self.bias


class LayerNorm(Module):
    """Normalise each sample over height, width and channels, then scale and shift each channel. (B,H,W,C) -> the same

    With one scale and shift per channel, as in the authors' TensorFlow code, frames may have any size; with one per
    pixel, as in their PyTorch code, the size is fixed.
    """

    def __init__(self, channels):
        self.gain = parameter(np.ones(channels))
        self.bias = zeros(channels)

    def forward(self, x):
        return normalise(x, self.gain, self.bias, axis=(1, 2, 3))


class BatchNorm(Module):
    """Normalise each channel over batch, height and width, then scale and shift it. (B,H,W,C) -> the same

    In training (`Module.train`), it uses the statistics of the batch and moves the running averages towards them by the
    factor `momentum`; otherwise it uses those averages.
    """

    def __init__(self, channels, momentum=0.1, eps=1e-5):
        if not 0 < momentum <= 1:
            raise ConfigError(f"BatchNorm: momentum must be in (0, 1], got {momentum}")
        self.gain = parameter(np.ones(channels))
        self.bias = zeros(channels)
        self.running_mean = Tensor(np.zeros(channels, np.float32))
        self.running_variance = Tensor(np.ones(channels, np.float32))
        self.momentum, self.eps = momentum, eps

    def forward(self, x):
        if not self.training:
            return (x - self.running_mean) / (self.running_variance + self.eps) ** 0.5 * self.gain + self.bias
        axes = (0, 1, 2)
        count = x.size // x.shape[-1]
        self.update_average(self.running_mean, x.data.mean(axis=axes))
        self.update_average(self.running_variance, x.data.var(axis=axes) * (count / max(count - 1, 1)))  # unbiased
        return normalise(x, self.gain, self.bias, axis=axes, eps=self.eps)

    def update_average(self, average, value):
        average.data *= 1 - self.momentum  # in place, since a recorded step on a GPU keeps using this array
        average.data += self.momentum * value


@fuse
def rectify(x):
    """max(x, 0)"""
    return relu(x)
