"""Recipe: how a network is trained, independent of the network and of its data."""

import dataclasses

from tinypredrnn.errors import ConfigError
from tinypredrnn.gpu import PRECISIONS
from tinypredrnn.nn.losses import LOSSES
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.options import Options, called, option
from tinypredrnn.train.update import UPDATES


@dataclasses.dataclass(frozen=True)
class Recipe(Options):
    """How to train. The defaults are PredRNN's. From the paper, Section 4: L1 + L2 loss, Adam with an initial learning
    rate of 1e-3, batches of 8, 80,000 iterations. From the authors' code, since the paper does not say: scheduled
    sampling over the first 50,000 iterations, the loss over all outputs. If a model's authors trained it in another
    way, its class says so (`Predictor.recipe`).
    """

    batch: int = option(8, "sequences in a batch", least=1, may_change=True)
    steps: int = option(80_000, "training iterations; a resumed run may be given more, and a cosine schedule is then "
                                "stretched to them",
                        least=1, may_change=True)
    update: str = option("descent", "what one training step does; descent: follow the gradient of one loss", UPDATES)
    optimiser: str = option("adam", "how gradients change the weights", OPTIMISERS)
    rate: float = option(1e-3, "initial learning rate", above=0)
    rate_schedule: str = option("constant", "learning rate over time: constant, or cosine: up over the first 2 % of "
                                            "the steps, then down a cosine to 0",
                                ("constant", "cosine"))
    clip: float = option(0.0, "largest norm of the whole gradient (0: no limit)", least=0)
    loss: str = option("l1+l2", "training loss", LOSSES)
    heavy: tuple = option((), "thresholds in the unit of the data, from each of which on a pixel has another weight in "
                              "the loss; below them, 1", of=float)
    weights: tuple = option((), "the weights of pixels whose truth reaches the thresholds of --heavy, one for each",
                            above=0, of=float)
    loss_over: str = option("all", "outputs in the loss: all, or only the future, those after the given frames",
                            ("all", "future"))
    sampling: str = option("linear", "scheduled sampling: fewer and fewer true frames instead of predictions; reverse: "
                                     "also for the given frames",
                           ("off", "linear", "reverse"))
    sampling_until: int = option(50_000, "iteration from which on no true future frame is fed", least=0)
    validate_every: int = option(5_000, "iterations between two evaluations on the validation set, with pictures",
                                 least=1, may_change=True)
    precision: str = option("auto", "precision of convolutions on a GPU; auto: tf32, as in PyTorch; a CPU always "
                                    "computes in fp32",
                            ("auto", *PRECISIONS))
    start: str = option("", "run or checkpoint file whose weights to start from; empty: random weights", flag="--from")
    seed: int = option(0, "seed of weights, data and sampling: the same seed gives the same run", least=0)

    def __post_init__(self):
        super().__post_init__()
        if len(self.heavy) != len(self.weights) or list(self.heavy) != sorted(set(self.heavy)):
            raise ConfigError(f"{called('heavy')} is rising thresholds, {called('weights')} one number for each, got "
                              f"{self.heavy!r:.60} and {self.weights!r:.60}")
