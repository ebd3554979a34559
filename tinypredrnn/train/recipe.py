"""Recipe: how a network is trained, whatever it is and whatever it learns to predict."""

import dataclasses

from tinypredrnn.gpu import PRECISIONS
from tinypredrnn.nn.losses import LOSSES
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class Recipe(Options):
    """The defaults are PredRNN's. From the paper, Section 4: L1 + L2 loss, Adam with a starting rate of 1e-3, batches of 8, 80,000
    iterations. From the authors' code, where the paper is silent: scheduled sampling over the first 50,000 iterations, the loss over
    all outputs. A model's class says what its own authors did otherwise (`Predictor.recipe`).
    """

    batch: int = option(8, "sequences in a batch", least=1, watches=True)
    steps: int = option(80_000, "training iterations; a run that is resumed may be given more, and a cosine is then stretched to these",
                        least=1, watches=True)
    optimiser: str = option("adam", "from gradients to better weights", OPTIMISERS)
    rate: float = option(1e-3, "learning rate at the start", above=0)
    rate_schedule: str = option("constant", "how the rate goes on: constant, or up over the first 2 % and down a cosine to 0",
                                ("constant", "cosine"))
    clip: float = option(0.0, "largest length of the whole gradient (0: any)", least=0)
    loss: str = option("l1+l2", "training loss", LOSSES)
    loss_over: str = option("all", "outputs that the loss looks at: all of them, or only those after the given frames", ("all", "future"))
    sampling: str = option("linear", "scheduled sampling: true frames instead of predictions less and less; reverse: also while watching",
                           ("off", "linear", "reverse"))
    sampling_until: int = option(50_000, "iteration at which no true future frame is fed any more", least=0)
    validate_every: int = option(5_000, "iterations between two looks at the validation set, with pictures", least=1, watches=True)
    precision: str = option("auto", "rounding of factors in a GPU's convolutions; auto: tf32, as in PyTorch's; a CPU computes in fp32",
                            ("auto", *PRECISIONS))
    start: str = option("", "run, or checkpoint file, whose weights to start from; empty: drawn", flag="--from")
    seed: int = option(0, "of weights, data and sampling: the same seed gives the same run", least=0)
