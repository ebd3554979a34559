"""Update: one training step, from a batch to better weights. Descent follows the gradient of one loss."""

import abc
import contextlib
import io
import math

import numpy as np

from tinypredrnn.autograd import activations, bce_with_logits, concat, debug, no_grad, tensor, where
from tinypredrnn.backend import array_module
from tinypredrnn.errors import CheckpointError, GraphError, TrainingError
from tinypredrnn.gpu import check_precision, has_tensor_cores, precision
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import OPTIMISERS, clip_gradients
from tinypredrnn.options import called
from tinypredrnn.train.captured import CapturedStep
from tinypredrnn.train.parallel import ALONE
from tinypredrnn.train.schedules import rate_at, truth_mask


class Update(abc.ABC):
    """update(frames, k) does training iteration k, counted from 0. One defines `__call__`, `check_first_gradient`,
    `state_dict` and `load_state_dict`, with whatever optimisers it needs.

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
    def check_first_gradient(self, frames, k):
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
        with self.arithmetic():
            # a recorded step has the same factors for all parameters, so they must have done the same number of steps
            recorded = self.captured and not any(self.optimiser.skipped)
            loss, gradient_norm = (self.captured if recorded else self.step_eagerly)(frames, truth, rate)
        self.refuse_nonfinite(loss, gradient_norm, frames, k)
        return {"loss": loss, "gradient_norm": gradient_norm}

    @contextlib.contextmanager
    def arithmetic(self):
        """In what a step computes, and in what it keeps activations."""
        with precision(self.precision), activations(self.plan.recipe.activations):
            yield

    def truth(self, k):
        """The mask of true frames in iteration k, (B, steps)."""
        return truth_mask(self.plan.recipe, self.plan.data.given, self.plan.data.horizon, k, self.ranks.rows)

    def check_first_gradient(self, frames, k):
        with self.arithmetic():
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
        # every loss is a mean over sequences, in which places without data count as 0: a mean of such means needs only
        # the numbers of sequences as weights
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.ranks.average([loss.data, *gradients], weight=len(frames))
        return loss.item()

    def differentiate(self, frames, truth):
        """The loss of this process's rows as a Tensor; its gradient is left in the parameters' `grad`."""
        self.model.zero_grad()
        loss, _, _ = self.compare(frames, truth)
        loss.backward()
        return loss

    def compare(self, frames, truth):
        """(loss, frames, predictions): the model's loss on this process's rows; the frames (B,T,H,W,C), 0 in places
        without data; and the predictions of those from first + 1 on, (B,T-1-first,H,W,C)."""
        known, first = None, self.first
        if self.gaps:
            known = ~array_module(frames.data).isnan(frames.data)
            frames = where(known, frames, 0.0)
        summaries = []
        predictions = self.unroll(frames, truth, summaries)[:, first:]  # (B,T-1-first,H,W,C)
        targets = frames[:, first + 1:]
        if self.gaps:  # prediction and target are both 0 in a place without data, so that it adds nothing to any loss
            predictions = where(known[:, first + 1:], predictions, 0.0)
        return self.model.loss(self.pixel_loss, predictions, targets, summaries), frames, predictions

    def unroll(self, frames, truth, summaries):
        """What the model predicts, with as much kept for backward as the recipe says."""
        recipe, steps = self.plan.recipe, truth.shape[1]
        return self.model.unroll(frames, truth, summaries, self.given, recipe.segment(steps), recipe.truncate)

    def refuse_nonfinite(self, loss, gradient_norm, frames, k):
        if not math.isfinite(loss + gradient_norm):
            if not self.gaps and self.ranks.largest(bool(array_module(frames).isnan(frames).any())):
                raise TrainingError(f"the frames of iteration {k + 1} hold NaN, and their Scale does not say that "
                                    "there are places without data: give it gaps=True, or replace the NaN")
            made = [sentence for sentence in self.ranks.gather(self.explain_nonfinite(frames, k)) if sentence]
            raise TrainingError(f"the loss of iteration {k + 1} is {loss:.4g}, the norm of its gradient "
                                f"{gradient_norm:.4g} ({made[0] if made else 'no single op produced it'}): the last "
                                f"checkpoint is kept; start again with a smaller {called('rate')} or with "
                                f"{called('clip')} 1")

    def explain_nonfinite(self, frames, k):
        """Say which op made the first NaN or infinity, "" if none: the iteration is computed again with every op
        checked."""
        try:
            with debug(2, file=io.StringIO()), self.arithmetic():
                self.differentiate(tensor(frames, device=self.device), self.truth(k))
        except GraphError as error:
            return str(error)
        return ""

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


class Adversarial(Descent):
    """A network and its discriminator learn from each other (Goodfellow et al. 2014), as MCnet's authors train (code).

    D judges whether a clip is true, x, or ends with predictions, y: the given frames and those that the model predicts
    after them. First D takes a step, then the model, each with an optimiser of its own, by the recipe:

        L_D = BCE(D(x), 1) + BCE(D(y), 0)              L = the model's own loss + weight BCE(D(y), 1)

    so that neither runs away from the other, both terms of L_D are then computed again, with the new weights. As soon
    as one is below 0.3, D learns no more; as soon as one is above 0.7, the model learns no more; when both have
    stopped, both go on. The update's state is all of this: D, two optimisers, and who is learning.
    """

    gradients = 4 / 3  # one, and one pass forward more of the three that a gradient costs; D is not counted
    easy, hard = 0.3, 0.7

    def __init__(self, model, plan, graph=True, ranks=ALONE):
        super().__init__(model, plan, graph=False, ranks=ranks)
        recipe, length = plan.recipe, plan.data.given + plan.data.horizon
        discriminator, self.weight = model.adversary(length, np.random.default_rng([recipe.seed, 3]))
        self.discriminator = discriminator.to(self.device, model.dtype)
        self.discriminator_optimiser = OPTIMISERS[recipe.optimiser](self.discriminator.parameters(), recipe.rate)
        self.discriminator_learns = self.model_learns = True

    def __call__(self, frames, k):
        x, truth, rate, norms = tensor(frames, device=self.device), self.truth(k), rate_at(self.plan.recipe, k), []
        with self.arithmetic():
            loss, true, predicted = self.clips(x, truth)
            if self.discriminator_learns:
                loss_of_d = sum(self.verdicts(true, predicted.detach()))
                norms.append(self.step_along_gradient(loss_of_d, self.discriminator, self.discriminator_optimiser,
                                                      rate, frames, k))
            loss = loss + self.deception(predicted)
            if self.model_learns:
                norms.append(self.step_along_gradient(loss, self.model, self.optimiser, rate, frames, k))
            with no_grad():
                self.balance(self.verdicts(*self.clips(x, truth)[1:]), len(frames))
        return {"loss": loss.item(), "gradient_norm": math.hypot(*norms)}

    def clips(self, frames, truth):
        """(the model's own loss, the true clip, the clip with the model's predictions)"""
        loss, frames, predictions = self.compare(frames, truth)
        future = predictions[:, self.given - 1 - self.first:]
        return loss, frames, concat(frames[:, :self.given], future, axis=1)

    def verdicts(self, true, predicted):
        """The two terms of L_D."""
        d = self.discriminator
        return bce_with_logits(d(true), 1.0).mean(), bce_with_logits(d(predicted), 0.0).mean()

    def deception(self, predicted):
        """What is added to the model's loss."""
        return self.weight * bce_with_logits(self.discriminator(predicted), 1.0).mean()

    def step_along_gradient(self, loss, network, optimiser, rate, frames, k):
        """A step of one of the two along the gradient of its loss. Returns the gradient's norm."""
        network.zero_grad()
        loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        self.ranks.average([loss.data, *gradients], weight=len(frames))
        gradient_norm = clip_gradients(network.parameters(), self.clip)
        self.refuse_nonfinite(loss.item(), gradient_norm, frames, k)
        optimiser.step(rate)
        return gradient_norm

    def balance(self, verdicts, sequences):
        """Stop or start who learns, by the two terms of L_D, the means over so many sequences."""
        self.ranks.average([term.data for term in verdicts], weight=sequences)
        terms = [term.item() for term in verdicts]
        self.discriminator_learns &= min(terms) >= self.easy
        self.model_learns &= max(terms) <= self.hard
        if not (self.discriminator_learns or self.model_learns):
            self.discriminator_learns = self.model_learns = True

    def differentiate(self, frames, truth):
        self.model.zero_grad()
        loss, _, predicted = self.clips(frames, truth)
        loss = loss + self.deception(predicted)
        loss.backward()
        return loss

    def state_dict(self):
        parts = {name: part.state_dict() for name, part in self.parts().items()}
        return {"learns": np.array([self.discriminator_learns, self.model_learns], np.uint8)} | {
            f"{name}.{key}": array for name, arrays in parts.items() for key, array in arrays.items()}

    def load_state_dict(self, arrays):
        learns = arrays.get("learns", np.zeros(0))
        if learns.shape != (2,):
            raise CheckpointError("adversarial: this state belongs to another update: use a checkpoint of this one")
        for name, part in self.parts().items():
            part.load_state_dict({key.removeprefix(f"{name}."): array for key, array in arrays.items()
                                  if key.startswith(f"{name}.")})
        self.discriminator_learns, self.model_learns = map(bool, learns)

    def parts(self):
        """What beside the model has a state."""
        return {"model": self.optimiser, "discriminator": self.discriminator_optimiser, "weights": self.discriminator}


# Updates by name, as a recipe names them. An Update from outside the package becomes one by an entry here.
UPDATES = {"descent": Descent, "both_ways": BothWays, "adversarial": Adversarial}
