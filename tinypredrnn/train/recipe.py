"""Recipe: how a network is trained, independent of the network and of its data."""

import dataclasses
import math

from tinypredrnn.autograd.kept import KEPT_IN
from tinypredrnn.errors import ConfigError
from tinypredrnn.gpu import PRECISIONS
from tinypredrnn.nn.losses import LOSSES
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.options import Options, called, option
from tinypredrnn.train.update import UPDATES

COUNTED_IN_ITERATIONS = "halve_every", "sampling_until", "validate_every"  # options, beside `steps`


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
    update: str = option("descent", "what one training step does; descent: follow the gradient of one loss; both_ways: "
                                    "do so twice, the second time with the batch backwards in time; adversarial: let a "
                                    "discriminator learn as well, which the network tries to deceive (MCnet)",
                        UPDATES)
    optimiser: str = option("adam", "how gradients change the weights", OPTIMISERS)
    rate: float = option(1e-3, "initial learning rate", above=0)
    rate_schedule: str = option("constant", "learning rate over time: constant; cosine: up over the first 2 % of the "
                                            "steps, then down a cosine to 0; halving: half as large after every "
                                            "--halve-every iterations; drop: a tenth in the second half of the "
                                            "steps (PredNet's code)",
                                ("constant", "cosine", "halving", "drop"))
    halve_every: int = option(4_000, "iterations between two halvings of the learning rate (DFN's code)", least=1)
    clip: float = option(0.0, "largest norm of the whole gradient (0: no limit)", least=0)
    loss: str = option("l1+l2", "training loss", LOSSES)
    heavy: tuple = option((), "thresholds in the unit of the data, from each of which on a pixel has another weight in "
                              "the loss; below them, 1", of=float)
    weights: tuple = option((), "the weights of pixels whose truth reaches the thresholds of --heavy, one for each",
                            above=0, of=float)
    loss_over: str = option("all", "outputs in the loss: all, or only the future, those after the given frames",
                            ("all", "future"))
    sampling: str = option("linear", "scheduled sampling: fewer and fewer true frames instead of predictions; sigmoid: "
                                     "along an inverse sigmoid; reverse: also for the given frames; teacher: true "
                                     "frames always",
                           ("off", "linear", "sigmoid", "reverse", "teacher"))
    sampling_until: int = option(50_000, "linear and reverse sampling: iteration from which on no true future frame is "
                                         "fed",
                                 least=0)
    sampling_from: float = option(0.5, "reverse sampling: when the probabilities begin to change, as a part of "
                                       "sampling-until", least=0)
    sampling_alpha: float = option(0.05, "reverse sampling: after how long given frames are predicted e times more "
                                         "rarely, as a part of sampling-until", above=0)
    sampling_scale: float = option(900.0, "sigmoid sampling: k of the inverse sigmoid; after k log k iterations, every "
                                          "second future frame is true (CDNA)",
                                   above=0)
    validate_every: int = option(5_000, "iterations between two evaluations on the validation set, with pictures",
                                 least=1, may_change=True)
    precision: str = option("auto", "precision of convolutions on a GPU; auto: tf32, as in PyTorch; a CPU always "
                                    "computes in fp32",
                            ("auto", *PRECISIONS))
    activations: str = option("fp32", "in what backward's arrays are kept; bf16: rounded to half their size, so that "
                                      "gradients are less exact; the forward pass stays as it is",
                              KEPT_IN)
    recompute: bool = option(False, "keep the state of every so many steps only, the square root of their number, and "
                                    "compute the others again in backward: less memory for more time, the same numbers",
                             may_change=True)
    truncate: int = option(0, "steps after which the gradient goes no further back in time (truncated BPTT; 0: it goes "
                              "back to the first)", least=0)
    start: str = option("", "run or checkpoint file whose weights to start from; empty: random weights", flag="--from")
    seed: int = option(0, "seed of weights, data and sampling: the same seed gives the same run", least=0)

    def __post_init__(self):
        super().__post_init__()
        if len(self.heavy) != len(self.weights) or list(self.heavy) != sorted(set(self.heavy)):
            raise ConfigError(f"{called('heavy')} is rising thresholds, {called('weights')} one number for each, got "
                              f"{self.heavy!r:.60} and {self.weights!r:.60}")

    def segment(self, steps):
        """How many of `steps` steps in time backward computes again at once; None if it does not."""
        return math.isqrt(steps - 1) + 1 if self.recompute else None  # the square root, rounded up

    def lasting(self, steps):
        """The recipe for a run of `steps` iterations: all that it counts in iterations becomes longer or shorter with
        it, so that a short run has the whole schedule as well.
        """
        from scipy.special import lambertw

        if steps == self.steps:
            return self
        share = steps / self.steps
        counted = {name: max(round(getattr(self, name) * share), min(1, getattr(self, name)))
                   for name in COUNTED_IN_ITERATIONS}
        k = max(self.sampling_scale, 1 + 1e-9)
        half = share * k * math.log(k)  # the iteration in which half of the frames are true
        return self.replace(steps=steps, sampling_scale=half / float(lambertw(half).real), **counted)
