"""A layout has the names and shapes of the real thing and takes no memory."""

import tracemalloc

import numpy as np
import pytest

from tinypredrnn import build_model
from tinypredrnn.errors import CheckpointError, TooLargeError
from tinypredrnn.models import MODELS, construct, lay_out
from tinypredrnn.models.stack import StackOptions
from tinypredrnn.nn import BatchNorm, Conv2d, Linear, zeros
from tinypredrnn.nn.layout import LARGEST, generator, layout_only

FRAME, OPTIONS = (16, 24, 2), StackOptions(hidden=(5, 5), kernel=3, layer_norm=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_layout_has_the_shapes_of_the_model(name):
    own = MODELS[name].Options()
    options = own.replace(**{option: value for option, value in OPTIONS.as_dict().items() if option in own.names()})
    model = construct(name, FRAME, options, seed=3)
    layout = lay_out(4 * model.count_parameters(), name, FRAME, options, seed=3)
    shapes = [[(n, t.shape, t.dtype, t.requires_grad) for n, t in network.named_tensors()] for network in (layout, model)]
    assert shapes[0] == shapes[1]
    layout.check_state_dict(model.state_dict())
    with pytest.raises(CheckpointError, match="unknown .'more'"):
        layout.check_state_dict(model.state_dict() | {"more": np.zeros(1)})


def test_it_takes_no_memory_and_stops_at_the_most():
    tracemalloc.start()
    try:
        model = lay_out(float("inf"), "predrnn", FRAME, OPTIONS.replace(hidden=(20_000,) * 4, kernel=199))
        assert sum(t.data.nbytes for t in model.parameters()) > 1 << 50
        with pytest.raises(TooLargeError, match="1,000 bytes"):
            lay_out(1_000, "convlstm", FRAME, OPTIONS)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_what_no_array_can_be_is_refused():
    with layout_only(), pytest.raises(TooLargeError, match="no array"):
        zeros(LARGEST, 2)


def test_every_layer_can_be_laid_out_and_outside_of_a_layout_all_is_as_ever():
    def layers():
        rng = generator(1)
        return [Conv2d(2, 3, 3, rng), Linear(4, 5, rng), BatchNorm(6), rng.normal(size=3), rng.permutation(5)]

    real, (*_, drawn, order) = layers(), layers()
    with layout_only() as layout:
        *hollow, without, hollow_order = layers()
    assert layout.bytes == 4 * sum(layer.count_parameters() for layer in hollow) == 4 * sum(layer.count_parameters() for layer in real[:3])
    assert without.shape == (3,) and np.any(drawn != 0) and sorted(hollow_order) == sorted(order)
    assert all(a.data.flags.c_contiguous and a.data.flags.writeable for layer in real[:3] for _, a in layer.named_tensors())


@pytest.mark.parametrize("options", [{"hidden": (10**7, 2)}, {"kernel": 10**9 + 1}, {"size": (10**9, 10**9), "patch": 10**9},
                                     {"channels": 10**18}], ids=str)
@pytest.mark.parametrize("name", [name for name in MODELS if "hidden" in MODELS[name].Options.names()])
def test_build_model_refuses_weights_that_no_computer_holds(name, options):
    if name in ("predrnn_m", "predrnn_v2") and "hidden" in options:
        options = {"hidden": (10**7, 10**7)}
    with pytest.raises(TooLargeError, match="weights of this network do not fit into the .*: choose a smaller"):
        build_model(name, **dict(size=(16, 16), hidden=(3, 3), kernel=3, patch=4) | options)


@pytest.mark.parametrize("options", [{"width": 10**8}, {"channels": 10**18}], ids=str)
@pytest.mark.parametrize("name", [name for name in MODELS if "width" in MODELS[name].Options.names()])
def test_so_it_does_with_networks_of_one_width(name, options):
    with pytest.raises(TooLargeError, match="weights of this network do not fit into the .*: choose a smaller .*width"):
        build_model(name, **dict(size=(16, 16)) | options)
