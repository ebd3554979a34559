"""Update: one training step, from a batch to better weights. Descent follows the gradient of one loss."""

import abc
import io
import math

from tinypredrnn.autograd import debug, tensor, where
from tinypredrnn.backend import array_module
from tinypredrnn.errors import GraphError, TrainingError
from tinypredrnn.gpu import check_precision, has_tensor_cores, precision
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import OPTIMISERS, clip_gradients
from tinypredrnn.train.captured import CapturedStep
from tinypredrnn.train.parallel import ALONE
from tinypredrnn.train.schedules import rate_at, truth_mask


class Update(abc.ABC):
    """update(frames, k) does training iteration k, counted from 0. One defines `__call__`, `rehearse`, `state_dict` and
    `load_state_dict`, with whatever optimisers it needs.

    model   a Predictor on the device that trains it
    plan    the run's Plan
    graph   on a GPU, replay each step as a CUDA graph if the model allows it; False: launch each kernel separately
    ranks   the processes that train together (parallel.py)

    The class attribute `gradients` says how many gradients of a batch one iteration computes.
    """

    gradients = 1

    def __init__(self, model, plan, graph=True, ranks=ALONE):
        self.model, self.plan, self.ranks, self.device = model, plan, ranks, model.device

    @abc.abstractmethod
    def __call__(self, frames, k):
        """Train on frames (B,T,H,W,C) in [0, 1], with NaN in places without data.

        Returns {"loss": ..., "gradient_norm": ...}. If one of them is not finite, the weights stay unchanged and
        TrainingError is raised.
        """

    @abc.abstractmethod
    def rehearse(self, frames, k):
        """Compute the gradient of iteration k without changing the weights: a run that cannot be trained fails here."""

    @abc.abstractmethod
    def state_dict(self):
        """The state of all optimisers, as a checkpoint keeps it: {name: NumPy array}."""

    @abc.abstractmethod
    def load_state_dict(self, arrays):
        """Load what state_dict returned. CheckpointError if it belongs to another model."""

    def memory_recorded(self):
        """The GPU memory, in bytes, that a recorded step holds."""
        return 0


class Descent(Update):
    """One gradient of the model's loss, one step of the recipe's optimiser. On a GPU a whole step is replayed as a CUDA
    graph (captured.py) if model and optimiser allow it.
    """

    def __init__(self, model, plan, graph=True, ranks=ALONE):
        super().__init__(model, plan, graph, ranks)
        recipe = plan.recipe
        self.precision = check_precision(recipe.precision, self.device)
        self.optimiser = OPTIMISERS[recipe.optimiser](model.parameters(), recipe.rate)
        steps = [(plan.scale.reached_from(least), weight) for least, weight in zip(recipe.heavy, recipe.weights)]
        self.pixel_loss, self.clip = find_loss(recipe.loss, steps), recipe.clip or math.inf
        self.given = plan.data.given
        # the first output in the loss
        self.first = self.given - 1 if recipe.loss_over == "future" or model.forecasts_only else 0
        self.gaps = plan.scale.gaps  # known in advance, since a recorded step cannot inspect the frames
        self.captured = None
        capturable = model.capturable and self.optimiser.capturable
        # other convolutions need cuBLAS, which cannot be captured
        if graph and capturable and ranks.size == 1 and has_tensor_cores(self.device):
            self.captured = CapturedStep(self.differentiate, self.optimiser, self.clip, self.device)

    def __call__(self, frames, k):
        truth, rate = self.truth(k), rate_at(self.plan.recipe, k)
        with precision(self.precision):
            # a recorded step has the same factors for all parameters, so they must have done the same number of steps
            recorded = self.captured and not any(self.optimiser.skipped)
            loss, gradient_norm = (self.captured if recorded else self.step_eagerly)(frames, truth, rate)
        self.refuse_nonfinite(loss, gradient_norm, frames, k)
        return {"loss": loss, "gradient_norm": gradient_norm}

    def truth(self, k):
        """The mask of true frames in iteration k, (B, steps)."""
        return truth_mask(self.plan.recipe, self.plan.data.given, self.plan.data.horizon, k,
                          slice(self.ranks.rank, None, self.ranks.size))

    def rehearse(self, frames, k):
        with precision(self.precision):
            loss = self.gradient(frames, self.truth(k))
        self.refuse_nonfinite(loss, clip_gradients(self.model.parameters(), math.inf), frames, k)
        self.model.zero_grad()

    def step_eagerly(self, frames, truth, rate):
        """Do a step op by op; returns (loss, gradient norm). Weights stay unchanged if one of them is not finite."""
        loss = self.gradient(frames, truth)
        gradient_norm = clip_gradients(self.model.parameters(), self.clip)
        if math.isfinite(loss + gradient_norm):
            self.optimiser.step(rate)
        return loss, gradient_norm

    def gradient(self, frames, truth):
        """The loss of the whole batch; its gradient is left in the parameters' `grad`."""
        loss = self.differentiate(tensor(frames, device=self.device), truth)
        self.ranks.average([loss.data, *(p.grad for p in self.model.parameters() if p.grad is not None)])
        return loss.item()

    def differentiate(self, frames, truth):
        """The loss of this process's rows as a Tensor; its gradient is left in the parameters' `grad`."""
        known, first = None, self.first
        if self.gaps:
            known = ~array_module(frames.data).isnan(frames.data)
            frames = where(known, frames, 0.0)
        self.model.zero_grad()
        states = [] if self.model.loss_needs_states else None
        # (B,T-1-first,H,W,C)
        predictions = self.unroll(frames, truth, states)[:, first:]
        targets = frames[:, first + 1:]
        if self.gaps:  # prediction and target are both 0 in a place without data, so that it adds nothing to any loss
            predictions = where(known[:, first + 1:], predictions, 0.0)
        loss = self.model.loss(self.pixel_loss, predictions, targets, states)
        loss.backward()
        return loss

    def unroll(self, frames, truth, states):
        """What the model predicts, with as much kept for backward as the recipe says."""
        recipe, steps = self.plan.recipe, truth.shape[1]
        return self.model.unroll(frames, truth, states, self.given, recipe.segment(steps), recipe.truncate)

    def refuse_nonfinite(self, loss, gradient_norm, frames, k):
        if not math.isfinite(loss + gradient_norm):
            if not self.gaps and bool(array_module(frames).isnan(frames).any()):
                raise TrainingError(f"the frames of iteration {k + 1} hold NaN, and their Scale does not say that "
                                    "there are places without data: give it gaps=True, or replace the NaN")
            raise TrainingError(f"the loss of iteration {k + 1} is {loss:.4g}, the norm of its gradient "
                                f"{gradient_norm:.4g} ({self.explain_nonfinite(frames, k)}): the last checkpoint is "
                                "kept; start again with a smaller --rate or with --clip 1")

    def explain_nonfinite(self, frames, k):
        """Say which op made the first NaN or infinity: the iteration is computed again with every op checked."""
        try:
            with debug(2, file=io.StringIO()), precision(self.precision):
                self.differentiate(tensor(frames, device=self.device), self.truth(k))
        except GraphError as error:
            return str(error)
        return "no single op produced it"

    def memory_recorded(self):
        return self.captured.recording.pool.total_bytes() if self.captured else 0

    def state_dict(self):
        return self.optimiser.state_dict()

    def load_state_dict(self, arrays):
        self.optimiser.load_state_dict(arrays)


class BothWays(Descent):
    """Two steps of Descent for each batch: on its sequences, then on the same ones backwards in time, with the same
    mask of true frames (`reverse_input` in the code of PredRNN's authors). Of the two, only the one that is not finite
    leaves the weights unchanged.
    """

    gradients = 2

    def __call__(self, frames, k):
        results = [super(BothWays, self).__call__(clip, k) for clip in (frames, frames[:, ::-1])]
        return {name: sum(result[name] for result in results) / 2 for name in results[0]}


# Updates by name, as a recipe names them. An Update from outside the package becomes one by an entry here.
UPDATES = {"descent": Descent, "both_ways": BothWays}
