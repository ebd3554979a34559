"""Tensor: an array, a place for its gradient, and a pointer to how it was made."""

import numpy as np

from tinypredrnn.autograd.engine import backward
from tinypredrnn.autograd.numpy_functions import call_numpy, parts_of
from tinypredrnn.backend import adopt, array_module, device_of, export, numeric, to_device, to_numpy
from tinypredrnn.errors import DeviceError, DTypeError, GraphError, ShapeError

MAX_SHOWN = 100  # values: a larger tensor is shown by its range


class Tensor:
    """An array that can be differentiated through. Made by `tensor(...)`, or by an op.

    data           the values, a NumPy or CuPy array
    grad           d(what backward was called on) / d(this tensor): an array like `data`, or None before the first
                   backward. Only leaves, that is tensors not made by an op, keep one; every backward adds to it until
                   it is set to None.
    requires_grad  whether ops that use this tensor are recorded
    node, index    the Node that made this tensor and which of its outputs it is; node is None for a leaf

    Operators and methods (x + y, x[2:], x.sum(axis=-1), ...) are ops: tinypredrnn/autograd/__init__.py attaches them.

    x.numpy(), x.item() and float(x) return values, whether x requires a gradient or not. NumPy's functions, such as
    np.asarray(x) and np.mean(x), refuse a tensor that requires a gradient, which would be lost.
    """

    __slots__ = ("data", "grad", "requires_grad", "node", "index", "__weakref__")
    __array_ufunc__ = None  # NumPy and CuPy leave `array * tensor` and `array < tensor` to us, and refuse np.exp(x)
    __pandas_priority__ = 5000  # more than a DataFrame's 4000: pandas leaves its operators to us as well
    __hash__ = object.__hash__  # by identity, since == compares values and returns a tensor

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
        """The same values outside the graph: backward stops here. To truncate backpropagation through time, detach the
        state."""
        return Tensor(self.data)

    def numpy(self):
        """The values as a NumPy array: on the CPU the array itself, from the GPU a copy."""
        return to_numpy(self.data)

    def item(self):
        """The value of a tensor of one element, as a Python number; ShapeError if there are more elements, or none."""
        if self.size != 1:
            raise ShapeError(f"item: expected a tensor of one element, got one of shape {self.shape}: reduce it first, "
                             "for example with .sum()")
        return self.data.item()

    def backward(self, cotangent=None, retain_graph=False):
        """Add d(self)/d(leaf), weighted by `cotangent`, to the grad of every leaf that self was computed from.

        cotangent     an array of self's shape; it may be left out if self has one element (it is then 1)
        retain_graph  keep what the graph saved, so that backward can run through it once more

        Raises GraphError if there is no graph, if it has been used up or if the cotangent is missing; ShapeError,
        DTypeError and DeviceError for a cotangent that does not fit. In all these cases nothing has changed.
        """
        backward(self, cotangent, retain_graph)

    def __array__(self, dtype=None, copy=None):
        """np.asarray(tensor): the values, on the CPU without a copy. GraphError if that would lose a gradient."""
        if self.requires_grad:
            raise GraphError(f"numpy: an array of NumPy would lose the gradient that a tensor of shape {self.shape} "
                             "requires: pass x.detach(), or x.numpy(), to use its values only")
        if copy is False and self.device != "cpu":
            raise DeviceError(f"numpy: this tensor is on {self.device}, from where NumPy can only have a copy: leave "
                              "out copy=False")
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_function__(self, function, types, args, kwargs):
        """np.concatenate([x, y]), np.allclose(x, y), ...: NumPy's result for the values; GraphError if a gradient would
        be lost."""
        return call_numpy(function, args, kwargs)

    def __dlpack__(self, **options):
        """np.from_dlpack(tensor), torch.from_dlpack(tensor), ...: the same memory in another library.

        Raises GraphError if this tensor requires a gradient, since backward would not notice a change; DTypeError for
        memory that other libraries misread, see backend.export.
        """
        if self.requires_grad:
            raise GraphError("dlpack: this tensor requires a gradient, and backward would not notice a change of its "
                             "memory elsewhere: export tensor.detach()")
        return export(self.data, **options)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __copy__(self):
        """copy.copy(tensor): another tensor with the same memory and the same node, but without the gradient."""
        return Tensor(self.data, self.requires_grad, self.node, self.index)

    def __reduce__(self):
        """copy.deepcopy(tensor), pickle: a leaf with its own memory and grad; GraphError for a tensor that an op
        made."""
        if self.node:
            raise GraphError(f"copy: this tensor was made by {self.node.op.name}, and only leaves can be copied or "
                             "pickled, not a graph: copy tensor.detach()")
        return Tensor, (self.data, self.requires_grad), (None, {"grad": self.grad})

    def __len__(self):
        if self.ndim == 0:  # a TypeError, by which other libraries know that this is a number
            raise DTypeError("len: a tensor of shape () has no axis to count or to iterate over: use .item() for its "
                             "value")
        return len(self.data)

    def __contains__(self, value):
        equal = self.detach() == value
        return bool(equal.data.any()) if isinstance(equal, Tensor) else equal  # False, if the value is None or a string

    def __bool__(self):
        if self.size != 1:
            raise ShapeError(f"bool: a tensor of shape {self.shape} is neither true nor false: test one element, or "
                             "x.numpy().all() or .any()")
        return bool(self.data)

    def __float__(self):
        return float(self.item())

    def __repr__(self):
        """All values of a small tensor, the range of a large one; shape, dtype, device, and where it comes from."""
        data = self.numpy()
        if data.size <= MAX_SHOWN:
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

    An array (NumPy's, CuPy's, or by DLPack PyTorch's or JAX's) is used as it is, neither copied nor converted: writing
    to one changes the other. Whatever else NumPy can make an array of (a table of pandas, an image of Pillow) keeps its
    dtype. `device` ("cpu", "gpu", "gpu:N", "auto") moves it; None leaves it.

    Raises DTypeError for anything but numbers of at most 8 bytes in this machine's byte order, for masked values, and
    if integers are to require a gradient; GraphError for a list of tensors of which one requires a gradient;
    DeviceError for a device that is missing.
    """
    data = values.data if isinstance(values, Tensor) else values
    if array_module(data) is np and not isinstance(data, (np.ndarray, np.generic)):
        data = adopt(data) if hasattr(data, "__dlpack__") else array_from(data)
    data = numeric(data)
    if requires_grad and data.dtype.kind != "f":
        raise DTypeError(f"tensor: {data.dtype} has no gradient: convert the array with .astype('float32')")
    return Tensor(data if device is None else to_device(data, device), requires_grad)


def array_from(values):
    """An array made from numbers in nested lists, or from an object that NumPy can read."""
    for part in parts_of(values):
        if isinstance(part, Tensor) and part.requires_grad:
            raise GraphError("tensor: a list of tensors loses the gradient that one of them requires: use "
                             "tp.stack(*tensors), or x.detach() to use its values only")
        if isinstance(part, np.ndarray):
            numeric(part)  # refuses masked values, whose mask NumPy would drop
    kind = type(values).__name__
    try:
        data = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).rstrip(".")
        raise DTypeError(f"tensor: expected an array or numbers in nested lists, got {kind} ({reason})") from None
    if data.dtype.kind not in "fiub":
        raise DTypeError(f"tensor: expected an array or numbers in nested lists, got {kind} of dtype {data.dtype}")
    own = hasattr(values, "__array__") or hasattr(values, "__array_interface__")
    return data if own else data.astype(np.float32)


def from_dlpack(array):
    """A leaf Tensor that shares the memory of another library's array: `tensor(array)`, but only for arrays
    that support DLPack.

    Raises DTypeError for anything else and for a dtype that cannot be shared, DeviceError for a device that cannot be
    reached here, GraphError if the other library tracks a gradient.
    """
    if not hasattr(array, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an array that supports DLPack, such as PyTorch's, got "
                         f"{type(array).__name__}")
    return tensor(array)
