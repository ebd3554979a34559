"""Tensor: an array, a place for its gradient, and a pointer to how it was made."""

import numpy as np

from tinypredrnn.autograd.engine import backward
from tinypredrnn.backend import adopt, array_module, device_of, to_device, to_numpy
from tinypredrnn.errors import DeviceError, DTypeError, GraphError

MANY = 100  # values: a tensor of more shows their range instead


class Tensor:
    """An array that can be differentiated through. Made by `tensor(...)`, or by an op.

    data           the values, a NumPy or CuPy array
    grad           d(what backward was called on) / d(this tensor): an array like `data`, or None before the first backward.
                   Only leaves, that is tensors not made by an op, keep one; it adds up until it is set to None.
    requires_grad  whether ops that use this tensor are recorded
    node, index    the Node that made this tensor and which of its outputs it is; node is None for a leaf

    Operators and methods (x + y, x[2:], x.sum(axis=-1), ...) are ops: tinypredrnn/autograd/__init__.py attaches them.
    """

    __slots__ = ("data", "grad", "requires_grad", "node", "index", "__weakref__")
    __array_ufunc__ = None  # so that NumPy leaves `array * tensor` to Tensor.__rmul__

    def __init__(self, data, requires_grad=False, node=None, index=0):
        self.data = data
        self.grad = None
        self.requires_grad = requires_grad
        self.node = node
        self.index = index

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    device = property(lambda self: device_of(self.data))

    def detach(self):
        """The same values without a past: backward stops here. Truncating backpropagation through time is detaching the state."""
        return Tensor(self.data)

    def numpy(self):
        """The values as a NumPy array: on the CPU the array itself, from the GPU a copy."""
        return to_numpy(self.data)

    def item(self):
        """The value of a tensor of one element, as a Python number."""
        return self.data.item()

    def backward(self, cotangent=None, retain_graph=False):
        """Add d(self)/d(leaf), weighted by `cotangent`, to the grad of every leaf that self was computed from.

        cotangent     an array of self's shape; it may be left out where self holds one element (then 1)
        retain_graph  keep what the graph saved, so that backward can run through it once more

        Raises GraphError where there is no graph, where it was used up or where the cotangent is missing; ShapeError and DTypeError
        for a cotangent that does not fit. Nothing has changed then.
        """
        backward(self, cotangent, retain_graph)

    def __array__(self, dtype=None, copy=None):
        """np.asarray(tensor): the values, on the CPU without a copy."""
        if copy is False and self.device != "cpu":
            raise DeviceError(f"numpy: this tensor is on {self.device}, from where NumPy can only have a copy: leave out copy=False")
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options):
        """np.from_dlpack(tensor), torch.from_dlpack(tensor), ...: the same memory in another library. Refused where a gradient is
        required, for backward would not notice a change."""
        if self.requires_grad:
            raise GraphError("dlpack: this tensor requires a gradient, and backward would not notice a change of its memory elsewhere: "
                             "export tensor.detach()")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __len__(self):
        return len(self.data)

    def __bool__(self):
        return bool(self.data)

    def __float__(self):
        return float(self.data)

    def __repr__(self):
        """All values of a small tensor, the range of a large one; shape, dtype, device, and where it comes from."""
        data = self.numpy()
        if data.size <= MANY:
            values = np.array2string(data, precision=4, separator=", ", prefix="Tensor(")
        else:
            finite = data[np.isfinite(data)]
            values = [f"{finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}"] if finite.size else []
            values = ", ".join(values + [f"{data.size - finite.size} not finite"] * (finite.size < data.size))
        origin = f", made by {self.node.op.name}" if self.node else ", requires_grad" if self.requires_grad else ""
        where = f" in {self.node.call}" if self.node and self.node.call else ""
        return f"Tensor({values}, shape {self.shape}, {self.dtype}, {self.device}{origin}{where})"


def tensor(values, requires_grad=False, device=None):
    """Make a leaf Tensor from an array, from numbers in nested lists (as float32), or from another tensor's values.

    An array (NumPy's, CuPy's, or by DLPack PyTorch's or JAX's) is used as it is, neither copied nor converted: writing to one changes
    the other. `device` ("cpu", "gpu", "gpu:N", "auto") moves it; None leaves it. Raises DTypeError for what is not numbers, and where
    the gradient of integers is asked for.
    """
    data = values.data if isinstance(values, Tensor) else values
    if data is None:
        raise DTypeError("tensor: expected an array or numbers in nested lists, got NoneType")
    if array_module(data) is np and not isinstance(data, (np.ndarray, np.generic)):
        if hasattr(data, "__dlpack__"):
            return tensor(adopt(data), requires_grad, device)
        try:
            data = np.asarray(data, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DTypeError(f"tensor: expected an array or numbers in nested lists, got {type(values).__name__} ({error})") from None
    data = array_module(data).asarray(data)
    if data.dtype.kind not in "fiub":
        raise DTypeError(f"tensor: expected numbers, got an array of dtype {data.dtype}")
    if requires_grad and data.dtype.kind != "f":
        raise DTypeError(f"tensor: {data.dtype} has no gradient: convert the array with .astype('float32')")
    return Tensor(data if device is None else to_device(data, device), requires_grad)


def from_dlpack(array):
    """A leaf Tensor on the memory of another library's array, not copied: what `tensor(array)` makes of whatever speaks DLPack.

    Raises DTypeError for anything else and for a dtype that cannot be shared, DeviceError for a device that cannot be reached here,
    GraphError where the other library tracks a gradient.
    """
    if not hasattr(array, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an array that speaks DLPack, such as PyTorch's, got {type(array).__name__}")
    return tensor(array)
