"""Algorithms 1 and 2 as an object that a training loop holds: responses, optimisers and draws, one call for each step.

name       symbol             meaning
w0, Theta  α_1                a torch optimizer each, on their own parameters
lam        α_2                the same for λ
sigma      α_3                and for raw_sigma; None keeps σ as it starts
tau        τ                  weight of the entropy (Eqn. 2.7)
T_train    T_train, T_valid   inner steps, and how many outer steps follow them
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Never

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer, RMSprop
from torch.utils._pytree import tree_leaves

from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters
from deep.hyper.parallel import Share, added, examples, follow_first, rank, require_process_group
from deep.responses.contexts import evaluating
from deep.tuner import gradients, state
from deep.tuner.arguments import require_arguments, require_no_float16
from deep.tuner.coverage import Coverage
from deep.tuner.decay import decay_of
from deep.tuner.diagnosis import require_finite, warn_stuck
from deep.tuner.first_look import first_look
from deep.tuner.gradients import Evaluation, Objective, UpdatePass
from deep.tuner.hypernet import Hypernetwork
from reference.beyond.control_variate.updates import extended
from reference.console.command import InputWarning, UserError
from reference.rule.updates import DELTA_STN, Method

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]
Loss = Callable[[Any, Any], Tensor]

WEIGHTS: OptimizerFactory = partial(SGD, lr=0.01, momentum=0.9)
"""H.2.1's and H.2.2's optimiser of w0 and Θ."""
OUTER: OptimizerFactory = partial(RMSprop, lr=0.01)
"""H.2's optimiser of λ, and so of σ."""


class Tuner:
    """Tunes the hyperparameters of a model while it trains; `inner_step` and `outer_step` drop into any loop.

    Args:
        model: trains already; its parameters move in place. Have it where it is to run, and in training mode.
        hyper: what is tuned. One called "weight_decay" is that of w0's optimizer.
        method: which switches of section 3 are on; None for a plain run at `hyper`'s values.
        without_response: names or patterns of parameters that get no response.
        train_loss: from outputs and targets to a mean over examples; it may read `hyper` and `squared_norm`, and sees
            the network through its outputs alone.
        valid_loss: the same without penalties (default: `train_loss`).
        predict: from inputs to outputs (default: the model itself, called with a dictionary's entries by name).
        augment: applied to training inputs; it may read `hyper`, and has its randomness from the `Draws` it is given.
        autocast: a context for losses and outputs, such as `lambda: torch.autocast("cuda", torch.bfloat16)`.
        w0, Theta, lam, sigma: optimizer factories; the defaults are H.2.1's, and σ's is λ's.
        clip: the largest norm of w0's and of Θ's gradient.
        tau: the entropy's weight.
        T_train, T_valid: outer steps that follow inner ones.
        warm_up: inner steps before the first outer step is due (`fit`'s is in epochs, and where given replaces this).
        eps_per: one ε for each example, or one for each batch.
        noise: for a plain run: perturb the hyperparameters by N(0, σ²) all the same.
        seed: of ε and of the masks of tuned drop rates.

    Raises:
        UserError: what `Hypernetwork` raises, an argument that is not what it should be, a method that needs what is
            not here, or several processes of `torchrun` without a process group.
    """

    def __init__(
        self,
        model: nn.Module,
        hyper: Hyperparameters,
        train_loss: Loss,
        valid_loss: Loss | None = None,
        *,
        # What is tuned, and how
        method: Method | None = DELTA_STN,
        without_response: Iterable[str] = (),
        # The losses
        predict: Callable[[Any], Any] | None = None,
        augment: Callable[[Any, Draws], Any] | None = None,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        # The optimisers
        w0: OptimizerFactory = WEIGHTS,
        Theta: OptimizerFactory = WEIGHTS,
        lam: OptimizerFactory = OUTER,
        sigma: OptimizerFactory | None = OUTER,
        clip: float | None = None,
        tau: float = 1e-3,
        # The cadence, and the draws
        T_train: int = 5,
        T_valid: int = 1,
        warm_up: int = 0,
        eps_per: str = "example",
        noise: bool = False,
        seed: int = 0,
    ) -> None:
        factories = {"w0": w0, "Theta": Theta, "lam": lam, "sigma": sigma}
        require_arguments(hyper, method, T_train, T_valid, warm_up, tau, clip, eps_per, seed, factories)
        require_process_group()
        self.model, self.hyper, self.method = model, hyper, method
        hyper.centred = method is None or method.centred
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UserError("the model has no parameter that trains; unfreeze one (requires_grad_)")
        device = next(model.parameters()).device
        require_no_float16(autocast, device.type)
        self.draws = Draws(torch.Generator(device).manual_seed(seed))
        self.net = Hypernetwork(model, hyper, self.draws, without_response, respond=method is not None)
        try:
            self.optimisers = _optimisers(self.net, w0, *(() if method is None else (Theta, lam, sigma)))
            self.decay = decay_of(self.net, self.optimisers["w0"], method is None or method.unperturbed)
        except BaseException:
            self.net.release()  # or no other tuner could have the model
            raise
        follow_first([*model.state_dict().values(), *self.net.Theta, hyper.lam, hyper.raw_sigma])
        forward = predict or partial(_call, model)
        augmented = forward if augment is None else lambda x: forward(augment(x, self.draws))
        self.training = Objective(augmented, train_loss, autocast, None if self.decay is None else self.decay.penalty)
        self.validation = Objective(forward, valid_loss or train_loss, autocast)
        self.updates = gradients.updates(method, noise)
        self.tau, self.T_train, self.T_valid, self.warm_up = tau, T_train, T_valid, warm_up
        self.eps_per, self.noise, self.clip = eps_per, noise, clip
        self.sigma_at_start = hyper.scales()
        self.inner_steps = self.outer_steps = 0
        self._penalised_validation = valid_loss is None

    @property
    def device(self) -> torch.device:
        """Where the model was at the last step, or at the start."""
        return self.hyper.lam.device

    def inner_step(self, x: Any, t: Any) -> Evaluation:
        """One inner iteration on a mini-batch whose examples lie on the first axis of every tensor of x.

        w0 steps first, then Θ at the new w0, with fresh ε and masks; where w0 is perturbed, or with the control
        variate, the two step together. A parameter that the loss does not reach has a gradient of 0, with which
        momentum and weight decay go on. Of several processes each gives its own rows of the batch, and its loss is that
        of these rows.

        Before the first step the model is run to see where the batch is and what responds (`coverage`); after it a
        warning names the hyperparameters that nothing has read, such as another model's drop rate. It is no error,
        since a layer that is skipped at random, or a loss for some of the batches, may read one later.

        Returns:
            The pass that w0's step saw: loss, outputs and gradients.

        Raises:
            UserError: the loss is not finite, the model is detached, or other parameters train than at its making.
        """
        return self.inner_step_over([(x, t)])

    def inner_step_over(self, batches: Sequence[tuple[Any, Any]]) -> Evaluation:
        """`inner_step` on several batches as if they were one, with the memory of one: gradients are accumulated.

        ε and the masks of tuned rates are those of the one batch, as far as the batches have one shape. A BatchNorm has
        the statistics of each batch apart, and a dropout that is not tuned other masks.

        Returns:
            The mean loss, a list of the batches' outputs where they are several, and the gradients of the mean.
        """
        parts = self._begin(batches)
        first = self.inner_steps == 0
        self.look(batches[0][0])
        unchanged = _versions(batches) if first else []
        with self.hyper.unread() as unread:
            results = [self._update(update, batches, parts) for update in self.updates]
        if first:
            self._require_batch(unchanged)
            self._warn_unread(unread)
        self.inner_steps += 1
        return results[0]

    def look(self, x: Any) -> None:
        """See the model run on a batch, once, before anything moves: where the batch is, and what responds.

        The first step does it by itself. Presumed hyperparameters that nothing reads are withdrawn.

        Raises:
            UserError: a drop rate is declared that nothing reads, or a parameter is used without a gradient alone.
        """
        if self.net.looked:
            return
        self._begin([(x, None)])
        n = examples(x)
        kinds = {planned.kind for update in self.updates for planned in update} - {"plain", "noise"}
        several = self.eps_per == "example" and self.method is not None
        with self.training.autocast():
            first_look(self.net, self.training.predict, x, n, sorted(kinds) if several else ())

    def _update(
        self, update: Sequence[UpdatePass], batches: Sequence[tuple[Any, Any]], parts: Sequence[Share]
    ) -> Evaluation:
        """One update: its passes' gradients at one w0 and with the same draws, and then the steps."""
        noisy = any(planned.kind != "plain" for planned in update)
        totals: dict[str, list[Tensor]] = {}

        def passes(x: Any, t: Any) -> Evaluation:
            n = examples(x)
            z = self._normal(n) if noisy else None
            evaluations = []
            for index, planned in enumerate(update):
                with self.draws.repeated() if index < len(update) - 1 else nullcontext():
                    seen = gradients.gradients(planned, self.method, self.net, self.training, z, x, t, n)
                of = partial(gradients.pass_of, planned, self.method, self.net, z, n)
                require_finite(self.net, self.training, seen, x, self.inner_steps, of, evaluates=False)
                evaluations.append(seen)
                terms = iter(seen.gradients)
                for name in planned.of:
                    sign = planned.sign if name == "Theta" else 1.0
                    term = [next(terms) for _ in getattr(self.net, name)]
                    _accumulate(totals, name, [-g for g in term] if sign < 0 else term)
            return evaluations[0]

        seen = self._over(batches, parts, passes)
        for name, total in totals.items():
            self._step(name, getattr(self.net, name), total)
        return seen

    def _over(
        self, batches: Sequence[tuple[Any, Any]], parts: Sequence[Share], passes: Callable[[Any, Any], Evaluation]
    ) -> Evaluation:
        """The passes of each part of a batch; all draw for the whole batch, from one state, and keep their rows."""
        start, total = self.draws.generator.get_state(), sum(examples(x) for x, _ in batches)
        mean: Evaluation | None = None
        for (x, t), part in zip(batches, parts, strict=True):
            self.draws.generator.set_state(start)
            self.draws.share = part
            seen = passes(x, t)
            if len(batches) > 1:
                seen = Evaluation(seen.loss * (examples(x) / total), [seen.outputs], seen.gradients)
            if mean is not None:
                grads = [g + term for g, term in zip(mean.gradients, seen.gradients, strict=True)]
                seen = Evaluation(mean.loss + seen.loss, mean.outputs + seen.outputs, grads)
            mean = seen
        assert mean is not None
        return mean

    def due(self) -> int:
        """How many outer steps follow the inner step just done: T_valid after every T_train, none in warm-up."""
        since = self.inner_steps - self.warm_up
        return self.T_valid if self.method is not None and since > 0 and since % self.T_train == 0 else 0

    def outer_step(self, x: Any, t: Any) -> Evaluation:
        """One step on λ and σ on a validation batch, in evaluation mode.

        Raises:
            UserError: as `inner_step`, or the run is plain.
        """
        return self.outer_step_over([(x, t)])

    def outer_step_over(self, batches: Sequence[tuple[Any, Any]]) -> Evaluation:
        """`outer_step` on several batches as if they were one."""
        method = self.method
        if method is None:
            raise UserError("a plain run has no outer step: its hyperparameters are given")
        parts = self._begin(batches)
        self.look(batches[0][0])

        def passes(x: Any, t: Any) -> Evaluation:
            n = examples(x)
            z = self._normal(n)
            seen = gradients.outer_gradients(method, self.net, self.validation, z, x, t, n, self.tau)
            of = partial(gradients.perturbed, method, self.net, z, n)
            require_finite(self.net, self.validation, seen, x, self.inner_steps, of, evaluates=True)
            return seen

        with self.hyper.unread() as unread:
            seen = self._over(batches, parts, passes)
        if self._penalised_validation and self.outer_steps == 0:
            self._warn_penalised(unread)
        self._step("lam", [self.hyper.lam], seen.gradients[:1])
        if "sigma" in self.optimisers:
            self._step("sigma", [self.hyper.raw_sigma], seen.gradients[1:])
        warn_stuck(self.optimisers)
        self.outer_steps += 1
        return seen

    def evaluate(self, x: Any, t: Any) -> tuple[Tensor, Any]:
        """The validation loss and the outputs at the current weights, in evaluation mode, without a graph."""
        with torch.no_grad(), evaluating(self.model):
            return gradients.evaluate(self.net, self.validation, x, t, self.hyper.centre(examples(x)))

    def squared_norm(self, *patterns: str) -> Tensor:
        """‖w‖² in the pass under way, one for each example; for penalties in `train_loss`.

        Args:
            patterns: names or patterns of parameters, such as "blocks.*.weight"; all of them without any.
        """
        return self.net.squared_norm(*patterns)

    def coverage(self) -> Coverage:
        """The share of parameters that respond, and why others do not; for good after the first step."""
        return Coverage.of(self.net)

    def detach(self) -> nn.Module:
        """The plain model with the current weights and drop rates; it ends the tuner."""
        return self.net.detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> Never:
        """The callables that were given know this very tuner.

        Raises:
            UserError: always.
        """
        raise UserError("a Tuner cannot be copied; copy.deepcopy its state_dict(), or what detach returns")

    def state_dict(self) -> dict[str, Any]:
        """Everything that the steps change, and what it belongs to; of several processes, each must ask.

        As PyTorch's own it holds the live tensors: write it to a file, or keep a `copy.deepcopy` of it.

        Raises:
            UserError: the model is detached.
        """
        return state.state_of(self)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a state of the same model, hyperparameters and method.

        Raises:
            UserError: the state is of another, or of no Tuner, or the model is detached.
        """
        state.restore(self, saved)

    def _begin(self, batches: Sequence[tuple[Any, Any]]) -> list[Share]:
        """Parts of a batch as shares of it."""
        self.net.require_attached()
        self.net.require_unchanged()
        self.net.follow()
        sizes = [examples(x) for x, _ in batches]
        parts = Share.of(sizes, self.device)
        if not batches or 0 in (*sizes, *parts[0].counts):
            raise UserError("a batch without examples: its inputs hold no tensor with rows on the first axis")
        self.draws.share = parts[0]
        return parts

    def _normal(self, n: int) -> Tensor:
        alone = [self.eps_per == "batch" or declared.per == "batch" for declared in self.hyper.declared]
        z = self.draws.normal(n, alone, self.hyper.lam)
        return z if self.eps_per == "example" else z[:1]

    def _step(self, name: str, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
        gradients = added(gradients)
        if name == "Theta" and self.method is not None and extended(self.method).normalised:
            gradients = self.net.per_variance(gradients)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.clip is not None and name in ("w0", "Theta"):
            nn.utils.clip_grad_norm_(parameters, self.clip)
        if name == "w0" and self.decay is not None:
            self.decay.set()
        self.optimisers[name].step()
        for parameter in parameters:
            parameter.grad = None

    def _require_batch(self, versions: list[tuple[Tensor, int]]) -> None:
        several = sum(len(update) for update in self.updates) > 1
        if several and any(leaf._version != version for leaf, version in versions):
            problem = (
                "the model, the augmentation or the loss changes the batch in place, which more than one pass sees"
            )
            raise UserError(f"{problem}; let it make a new tensor (a dropout of the inputs: inplace=False)")

    def _warn_unread(self, unread: Iterable[str]) -> None:
        if (names := sorted(unread)) and rank() == 0:
            which = f"nothing has read {', '.join(map(repr, names))} in the first training step"
            way = "read it by name, hyper[name], in the loss or in a transform of the inputs, or do not declare it"
            warnings.warn(f"{which}: {way}", InputWarning, stacklevel=4)

    def _warn_penalised(self, unread: Iterable[str]) -> None:
        read = sorted(set(self.hyper.names) - set(unread))
        if read and rank() == 0:
            names = ", ".join(map(repr, read))
            problem = f"the validation loss is the training loss, and reads {names}, which is lowered itself then"
            warnings.warn(f"{problem}; give the Tuner a valid_loss without penalties", InputWarning, stacklevel=4)


def _accumulate(totals: dict[str, list[Tensor]], name: str, terms: list[Tensor]) -> None:
    totals[name] = [g + term for g, term in zip(totals[name], terms, strict=True)] if name in totals else terms


def _call(model: nn.Module, x: Any) -> Any:
    """A dictionary's entries are keyword arguments, as Hugging Face's models take them."""
    return model(**x) if isinstance(x, Mapping) else model(x)


def _versions(batches: Any) -> list[tuple[Tensor, int]]:
    leaves = [leaf for leaf in tree_leaves(batches) if isinstance(leaf, Tensor) and not leaf.is_inference()]
    return [(leaf, leaf._version) for leaf in leaves]


def _optimisers(net: Hypernetwork, *factories: OptimizerFactory | None) -> dict[str, Optimizer]:
    """Those of w0, Θ, λ and σ, as far as there are factories."""
    moved = {"w0": net.w0, "Theta": net.Theta, "lam": [net.hyper.lam], "sigma": [net.hyper.raw_sigma]}
    pairs = zip(moved.items(), factories, strict=False)
    optimisers = {name: factory(parameters) for (name, parameters), factory in pairs if factory is not None}
    state.require_no_closure(optimisers)
    return optimisers
