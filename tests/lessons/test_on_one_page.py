"""The page of lesson 0: at most 200 lines of NumPy, other seeds than the lesson's, and its cell beside the package's."""

import ast
import sys

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.course import lesson as course

END = "# Here the page ends"
TRAINING = "network, films = train(seed=0)"


@pytest.fixture(scope="module")
def text():
    (lesson,) = course.lessons(numbers=[0])
    return lesson.text


@pytest.fixture(scope="module")
def page(text):
    """The names of the page, before it trains."""
    names = {}
    exec(text.partition(TRAINING)[0], names)
    return names


def test_the_page_is_200_lines_of_numpy(text):
    page = text.partition(END)[0]
    assert page.count("\n") <= 200
    imported = [ast.unparse(node) for node in ast.walk(ast.parse(page)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert imported == ["import numpy as np"]


@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_learn_as_well(page, seed):
    """A fifth of the steps is enough for half of the error of the last frame."""
    network, films = page["train"](seed, steps=60), page["world"](np.random.default_rng(9), 64)
    given = page["GIVEN"]
    expected = np.stack([prediction.data.clip(0, 1) for prediction in network(films)])[given - 1:]
    assert ((expected - films[given:]) ** 2).mean() < 0.5 * ((films[given - 1] - films[given:]) ** 2).mean()


def test_without_the_package_it_draws_with_letters(text, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tinypredrnn", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(SystemExit) as ended:
        exec(text.replace(TRAINING, TRAINING.replace("0", "0, steps=1")), {})
    assert ended.value.code is None
    picture = capsys.readouterr().out.splitlines()[-44:]
    assert {len(line) for line in picture} == {88} and set("".join(picture)) <= set(" .:-=+*#%@")
    assert picture[10] == picture[-1] == "@" * 88 and "@@@" in picture[1]


def test_its_cell_is_the_package_s(page):
    """The page has the gates' channels in turn, the package one gate after another; both give the same gradients."""
    n, rng = 3, np.random.default_rng(0)
    network, cell = page["Network"](n, rng), tp.cells.STLSTM(1, n, n, 3, rng, forget_bias=0.0).to(dtype="float64")
    weights = {"from_xh.weight": network.from_xh.w, "from_xh.bias": network.from_xh.b, "from_xm.weight": network.from_xm.w,
               "from_xm.bias": network.from_xm.b, "from_cm.weight": network.from_cm.w, "from_cm.bias": network.from_cm.b,
               "merge_cm": network.merge.w}
    theirs = dict(cell.named_tensors())
    assert theirs.keys() == weights.keys()
    for name, ours in weights.items():
        gates = ours.data.shape[-1] // n
        in_turn = ours.data.reshape(*ours.data.shape[:-1], n, gates)
        theirs[name].data[...] = in_turn.swapaxes(-1, -2).reshape(ours.data.shape)
    arrays = [rng.standard_normal((2, 5, 4, width)) for width in (1, n, n, n)]
    x, h, c, m = leaves = [page["Tensor"](array) for array in arrays]
    page["Tensor"].tape.clear()
    shown, *_ = network.step(x, h, c, m)
    page["squared_error"](shown, 1.0).backward()
    x, h, c, m = references = [tp.tensor(array, requires_grad=True) for array in arrays]
    reference, _ = cell(x, (h, c, m))
    ((reference - 1.0) ** 2).mean().backward()
    np.testing.assert_allclose(shown.data, reference.data, rtol=1e-10)
    for ours, theirs in zip(leaves, references):
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-14)
