"""Algorithms 1 and 2 as an object that a training loop holds: responses, optimisers and draws, one call for each step.

name       symbol             meaning
w0, Theta  α_1                a torch optimizer each, on their own parameters
lam        α_2                the same for λ
sigma      α_3                and for raw_sigma; None keeps σ as it starts
tau        τ                  weight of the entropy (Eqn. 2.7)
T_train    T_train, T_valid   inner steps, and how many outer steps follow them
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Never

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer, RMSprop
from torch.utils._pytree import tree_leaves

from deep import diagnosis, updates
from deep.arguments import refuse_closures, refuse_kinds, refuse_numbers, refuse_without_differential
from deep.batches import examples
from deep.checkpoint import own_buffers, refuse_another, set_own_buffers
from deep.contexts import evaluating
from deep.draws import Draws
from deep.hypernet import Hypernetwork
from deep.hyperparameters import Hyperparameters, Pass
from deep.parallel import Share, added, anywhere, follow_first, gathered, rank, refuse_strangers
from deep.updates import Evaluation, Objective
from deep.watch import watching
from reference.command import InputWarning, UserError
from reference.updates import DELTA_STN, Method

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
        hyper: what is tuned.
        train_loss: from outputs and targets to a mean over examples; it may read `hyper` and `squared_norm`, and sees
            the network through its outputs alone.
        valid_loss: the same without penalties (default: `train_loss`).
        method: which switches of section 3 are on; None for a plain run at `hyper`'s values.
        augment: applied to training inputs; it may read `hyper`, and has its randomness from the `Draws` it is given.
        predict: from inputs to outputs (default: the model itself).
        w0, Theta, lam, sigma: optimizer factories; the defaults are H.2.1's, and σ's is λ's.
        warm_up: inner steps before the first outer step is due (`fit`'s is in epochs, and where given replaces this).
        eps_per: one ε for each example, or one for each batch.
        noise: for a plain run: perturb the hyperparameters by N(0, σ²) all the same.
        clip: the largest norm of w0's and of Θ's gradient.
        autocast: a context for losses and outputs, such as `lambda: torch.autocast("cuda", torch.bfloat16)`.
        without_response: names of modules that get no response.
        seed: of ε and of the masks of tuned dropout modules.

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
        method: Method | None = DELTA_STN,
        augment: Callable[[Any, Draws], Any] | None = None,
        predict: Callable[[Any], Any] | None = None,
        w0: OptimizerFactory = WEIGHTS,
        Theta: OptimizerFactory = WEIGHTS,
        lam: OptimizerFactory = OUTER,
        sigma: OptimizerFactory | None = OUTER,
        tau: float = 1e-3,
        T_train: int = 5,
        T_valid: int = 1,
        warm_up: int = 0,
        eps_per: str = "example",
        noise: bool = False,
        clip: float | None = None,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        without_response: Iterable[str] = (),
        seed: int = 0,
    ) -> None:
        refuse_kinds(hyper, method)
        refuse_numbers(T_train, T_valid, warm_up, tau, clip)
        if eps_per not in ("example", "batch"):
            raise UserError(f"eps_per={eps_per!r} is neither 'example' nor 'batch'")
        refuse_strangers()
        self.model, self.hyper, self.method = model, hyper, method
        hyper.centred = method is None or method.centred
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UserError("the model has no parameter that trains; unfreeze one (requires_grad_)")
        device = next(model.parameters()).device
        self.draws = Draws(torch.Generator(device).manual_seed(seed))
        self.net = Hypernetwork(model, hyper, self.draws, without_response, respond=method is not None)
        try:
            if method is not None and method.control_variate:
                refuse_without_differential(self.net)
            self.optimisers = _optimisers(self.net, w0, *(() if method is None else (Theta, lam, sigma)))
        except BaseException:
            self.net.release()  # or no other tuner could have the model
            raise
        self._join()
        forward = predict or model
        augmented = forward if augment is None else lambda x: forward(augment(x, self.draws))
        self.training = Objective(augmented, train_loss, autocast)
        self.validation = Objective(forward, valid_loss or train_loss, autocast)
        self.tau, self.T_train, self.T_valid, self.warm_up = tau, T_train, T_valid, warm_up
        self.eps_per, self.noise, self.clip = eps_per, noise, clip
        self._sigma = hyper.scales()
        self.inner_steps = self.outer_steps = 0
        self._watched = False

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

        After the first step a warning names the hyperparameters that nothing has read in it, such as the rate of
        another model's dropout. It is no error, since a layer that is skipped at random, or a loss for some of the
        batches, may read one later.

        Returns:
            The pass that w0's step saw: loss, outputs and gradients.

        Raises:
            UserError: the loss is not finite, the model is detached, or other parameters train than at its making.
        """
        n = self._begin(x)
        seen = self._train(x, t, n) if self._watched else self._first(x, t, n)
        self.inner_steps += 1
        return seen

    def _first(self, x: Any, t: Any, n: int) -> Evaluation:
        """The first step, watched for what nobody reads and for what the next pass would find changed."""
        given = [leaf for leaf in tree_leaves((x, t)) if isinstance(leaf, Tensor) and not leaf.is_inference()]
        versions = [leaf._version for leaf in given]
        with self.hyper.unread() as unread:
            seen = self._train(x, t, n)
        alone = self.method is None or not (self.method.unperturbed or self.method.control_variate)
        if not alone and versions != [leaf._version for leaf in given]:
            what = "the model, the augmentation or the loss changes the batch in place, which more than one pass sees"
            raise UserError(f"{what}; let it make a new tensor (a dropout of the inputs: inplace=False)")
        if unread and rank() == 0:
            which = f"nothing has read {', '.join(map(repr, sorted(unread)))} in the first training step"
            way = "read it by name, hyper[name], in the loss or in a transform of the inputs, or do not declare it"
            warnings.warn(f"{which}: {way}", InputWarning, stacklevel=3)
        self._watched = True
        return seen

    def _train(self, x: Any, t: Any, n: int) -> Evaluation:
        watch = nullcontext() if self._watched or self.method is None else watching(self.net)
        if self.method is None:
            z = self._normal(n) if self.noise else None
            seen = updates.w0_gradient(self.net, self.training, x, t, n, z)
            self._check(seen, self.training, x, z)
            self._step("w0", self.net.w0, seen.gradients)
        elif self.method.control_variate:
            seen = self._control_variate_step(watch, self._normal(n), x, t, n)
        elif self.method.unperturbed:
            with watch:
                seen = updates.w0_gradient(self.net, self.training, x, t, n)
            self._check(seen, self.training, x)
            self._step("w0", self.net.w0, seen.gradients)
            z = self._normal(n)
            response = updates.response_gradient(self.method, self.net, self.training, z, x, t, n)
            self._check(response, self.training, x, z)
            self._step_response(response.gradients)
        else:
            z = self._normal(n)
            with watch:
                seen = updates.joint_gradient(self.method, self.net, self.training, z, x, t, n)
            self._check(seen, self.training, x, z)
            count = len(self.net.w0)
            self._step("w0", self.net.w0, seen.gradients[:count])
            self._step_response(seen.gradients[count:])
        return seen

    def due(self) -> int:
        """How many outer steps follow the inner step just done: T_valid after every T_train, none in warm-up."""
        since = self.inner_steps - self.warm_up
        return self.T_valid if self.method is not None and since > 0 and since % self.T_train == 0 else 0

    def outer_step(self, x: Any, t: Any) -> Evaluation:
        """One step on λ and σ on a validation batch, in evaluation mode.

        Raises:
            UserError: as `inner_step`, or the run is plain.
        """
        if self.method is None:
            raise UserError("a plain run has no outer step: its hyperparameters are given")
        n = self._begin(x)
        z = self._normal(n)
        seen = updates.outer_gradients(self.method, self.net, self.validation, z, x, t, n, self.tau)
        self._check(seen, self.validation, x, z)
        self._step("lam", [self.hyper.lam], seen.gradients[:1])
        if "sigma" in self.optimisers:
            self._step("sigma", [self.hyper.raw_sigma], seen.gradients[1:])
        self.outer_steps += 1
        return seen

    def evaluate(self, x: Any, t: Any) -> tuple[Tensor, Any]:
        """The validation loss and the outputs at the current weights, in evaluation mode, without a graph."""
        with torch.no_grad(), evaluating(self.model):
            return updates.evaluate(self.net, self.validation, x, t, self.hyper.centre(examples(x)))

    def squared_norm(self) -> Tensor:
        """‖w‖² in the pass under way, one for each example; for penalties in `train_loss`."""
        return self.net.squared_norm()

    def detach(self) -> nn.Module:
        """The plain model with the current weights, its dropout modules at the tuned rates; it ends the tuner."""
        return self.net.detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> Never:
        """The model's layers and the callables that were given know this very tuner.

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
        self.net.refuse_detached()
        return {
            "signature": self.signature(),
            "model": self.model.state_dict(),
            "own buffers": gathered(own_buffers(self.model)),
            "branches": self.net.branches.state_dict(),
            "lam": self.hyper.lam.detach().clone(),
            "raw_sigma": self.hyper.raw_sigma.detach().clone(),
            "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
            "generator": self.draws.generator.get_state(),
            "steps": (self.inner_steps, self.outer_steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same model, hyperparameters and method.

        Raises:
            UserError: the state is of another, or of no Tuner, or the model is detached.
        """
        if lacking := [part for part in self.state_dict() if part not in state]:
            raise UserError(f"this is no state of a Tuner: it has no {lacking[0]!r}; give what state_dict has returned")
        refuse_another(state["signature"], self.signature())
        self.model.load_state_dict(state["model"])
        set_own_buffers(self.model, state["own buffers"][rank()])
        self.net.branches.load_state_dict(state["branches"])
        with torch.no_grad():
            self.hyper.lam.copy_(state["lam"])
            self.hyper.raw_sigma.copy_(state["raw_sigma"])
        for name, one in self.optimisers.items():
            one.load_state_dict(state["optimisers"][name])
        self.draws.generator.set_state(state["generator"].cpu())
        self.inner_steps, self.outer_steps = state["steps"]

    def signature(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the run that reads it; of functions nothing is known."""
        return {
            "method": None if self.method is None else asdict(self.method),
            "hyperparameters": [asdict(one) for one in self.hyper.declared],
            "sigma at the start": self._sigma,
            "parameters": _shapes(self.model),
            "responses": _shapes(self.net.branches),
            "layers": {name: (type(one).__name__, one.extra_repr()) for name, one in self.model.named_modules()},
            "optimisers": {name: (type(one).__name__, one.defaults) for name, one in self.optimisers.items()},
            "steps": (self.T_train, self.T_valid, self.warm_up, self.tau, self.eps_per, self.noise, self.clip),
            "seed": self.draws.generator.initial_seed(),
        }

    def _join(self) -> None:
        """Several processes start alike, from process 0."""
        follow_first([*self.model.state_dict().values(), *self.net.Theta, self.hyper.lam, self.hyper.raw_sigma])

    def _begin(self, x: Any) -> int:
        self.net.refuse_detached()
        self.net.refuse_changed()
        self.net.follow()
        n = examples(x)
        self.draws.share = share = Share.of(n, self.device)
        if 0 in (share.counts or (n,)):
            raise UserError("a batch without examples: its inputs hold no tensor with rows on the first axis")
        return n

    def _normal(self, n: int) -> Tensor:
        alone = [self.eps_per == "batch" or one.per == "batch" for one in self.hyper.declared]
        z = self.draws.normal(n, alone, self.hyper.lam)
        return z if self.eps_per == "example" else z[:1]

    def _step(self, name: str, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(parameters, added(gradients), strict=True):
            parameter.grad = gradient
        if self.clip is not None and name in ("w0", "Theta"):
            nn.utils.clip_grad_norm_(parameters, self.clip)
        self.optimisers[name].step()
        for parameter in parameters:
            parameter.grad = None

    def _control_variate_step(
        self, watch: AbstractContextManager[None], z: Tensor, x: Any, t: Any, n: int
    ) -> Evaluation:
        """Both gradients at the same w0 and with the same masks, or the difference would not vanish with ε."""
        assert self.method is not None
        with watch, self.draws.repeated():
            seen = updates.differential_gradient(self.method, self.net, self.training, z, x, t, n)
        self._check(seen, self.training, x, z)
        response = updates.response_gradient(self.method, self.net, self.training, z, x, t, n)
        self._check(response, self.training, x, z)
        g0, mean_zero = seen.gradients[: len(self.net.w0)], seen.gradients[len(self.net.w0) :]
        self._step("w0", self.net.w0, g0)
        self._step_response([g - term for g, term in zip(response.gradients, mean_zero, strict=True)])
        return seen

    def _step_response(self, gradients: Sequence[Tensor]) -> None:
        normalised = self.method is not None and self.method.normalised
        self._step("Theta", self.net.Theta, self.net.per_variance(gradients) if normalised else gradients)

    def _check(self, seen: Evaluation, objective: Objective, x: Any, z: Tensor | None = None) -> None:
        if not anywhere(not torch.isfinite(seen.loss), self.device):
            return
        at = None if z is None else self._perturbed(objective, z, examples(x))
        with evaluating(self.model) if objective is self.validation else nullcontext():
            raise diagnosis.NotFinite(diagnosis.explain(self.net, objective, x, self.inner_steps, at))

    def _perturbed(self, objective: Objective, z: Tensor, n: int) -> Pass:
        """The pass that has been at ε = σz, as far as its loss goes."""
        if self.method is None:
            return Pass(self.hyper.lam + self.hyper.sigma * z, None, n)
        linearised = self.method.linearised and objective is self.training
        return replace(updates.perturbed(self.method, self.net, z, n), linearised=linearised)


def _optimisers(net: Hypernetwork, *factories: OptimizerFactory | None) -> dict[str, Optimizer]:
    """Those of w0, Θ, λ and σ, as far as there are factories."""
    moved = {"w0": net.w0, "Theta": net.Theta, "lam": [net.hyper.lam], "sigma": [net.hyper.raw_sigma]}
    pairs = zip(moved.items(), factories, strict=False)
    optimisers = {name: factory(parameters) for (name, parameters), factory in pairs if factory is not None}
    refuse_closures(optimisers)
    return optimisers


def _shapes(module: nn.Module) -> dict[str, Any]:
    return {name: (str(tensor.dtype), tuple(tensor.shape)) for name, tensor in module.state_dict().items()}
