"""Eqns. 2.6 and 3.1 on a model of one's own: responses attached to its layers in place, and the passes through it.

    name       symbol      meaning
    model      w0 (φ0)     the model's own parameters
    branches   Θ (Φ)       the responses of its layers, apart from the model: its state_dict stays as it was
    hyper      λ, σ        what is tuned

While attached, a treated layer's `forward` is its branch's and a tuned dropout's reads its rate from `hyper`; the
classes, the parameters and the names of the model are untouched, and `detach` takes the two away again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

import deep.lstm  # noqa: F401  (it registers its branch)
from deep import dropout
from deep.draws import Draws
from deep.hyperparameters import Hyperparameters
from deep.layers import BRANCHES
from deep.parallel import processes
from deep.shared_norm import SharedNorm, is_norm
from deep.structured import Branch
from reference.command import UserError


class Hypernetwork:
    """A model with responses attached.

    Args:
        without_response: names of modules that stay as they are (Θ = 0 there), their children included; or one name.
        respond: whether anything responds; if not, only dropout modules are treated.

    Raises:
        UserError: layers with parameters that no branch treats, a shared parameter, nothing that could respond, a
            model that is compiled, or tuned already, hyperparameters of another such model, or a batch norm that
            several processes cannot share.
    """

    def __init__(
        self,
        model: nn.Module,
        hyper: Hyperparameters,
        draws: Draws,
        without_response: Iterable[str] = (),
        respond: bool = True,
    ) -> None:
        self.model, self.hyper, self.draws = model, hyper, draws
        without = (without_response,) if isinstance(without_response, str) else tuple(without_response)
        layers = _treated(model, without) if respond else {}
        dropouts = {
            name: module for name, module in model.named_modules() if name in hyper and dropout.is_dropout(module)
        }
        norms = {name: one for name, one in model.named_modules() if processes() > 1 and is_norm(one, name)}
        for name, module in {**layers, **dropouts, **norms}.items():
            if "forward" in vars(module):
                raise UserError(
                    f"layer {name!r} has a forward of its own instance already; detach the earlier tuner first"
                )
        if hyper.attached:
            what = "these Hyperparameters are another tuner's, which is attached"
            raise UserError(f"{what}; detach it, or declare them anew: their λ and σ move with it")
        self.w0 = _trainable(model, recurse=True)
        self.branches = nn.ModuleDict({key(name): _branch(name, layer, hyper) for name, layer in layers.items()})
        self._names = tuple(layers)
        self.drop_rates = tuple(dropouts)
        self._dropouts = {name: dropout.TunedDropout(module, name, hyper, draws) for name, module in dropouts.items()}
        self._norms = [SharedNorm(module, hyper) for name, module in norms.items() if name not in layers]
        for branch in self:
            branch.layer.forward = branch.forward
        for tuned in self._dropouts.values():
            tuned.module.forward = tuned.forward
        for norm in self._norms:
            norm.layer.forward = norm.forward
        self.attached = hyper.attached = True
        self.follow()

    def __iter__(self) -> Iterator[Branch]:
        """The branches, in the order of the model's layers."""
        for branch in self.branches.values():
            assert isinstance(branch, Branch)
            yield branch

    def named(self) -> Iterator[tuple[str, Branch]]:
        """The branches with their layers' names."""
        return zip(self._names, self, strict=True)

    @property
    def Theta(self) -> list[nn.Parameter]:
        """The parameters of all responses."""
        return list(self.branches.parameters())

    def per_variance(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients in Θ with what follows λ_j, U's and V's column j, divided by σ_j² (Observation 1's curvature).

        The response weights serve every λ_j, and are divided by the mean.
        """
        U = {id(one) for name, one in self.branches.named_parameters() if name.endswith(".U")}
        variance = self.hyper.sigma.detach().square()
        mean = variance.mean()
        divided = [g / (variance if id(one) in U else mean) for one, g in zip(self.Theta, gradients, strict=True)]
        return [one.to(g) for one, g in zip(divided, gradients, strict=True)]

    def follow(self) -> None:
        """Move each response to where its layer now is, and λ and σ to where the model is, in float32 at least.

        A step of 0.01 on λ = -3 is lost in bfloat16, and λ's squared gradient in float16.
        """
        for branch in self:
            like = next(branch.layer.parameters(recurse=False))
            for parameter in branch.parameters():
                _move(parameter, like.device, like.dtype)
        like = next(iter(self.w0), self.hyper.lam)
        for parameter in (self.hyper.lam, self.hyper.raw_sigma):
            _move(parameter, like.device, torch.promote_types(like.dtype, torch.float32))

    def squared_norm(self) -> Float[Tensor, "n"]:
        """‖w‖² of all weights in the pass under way, for each example: for a penalty that λ scales.

        Linearised or not it is exact: the weights themselves are linear in Δw.
        """
        now = self.hyper.now
        treated = {id(parameter) for branch in self for parameter in branch.layer.parameters(recurse=False)}
        plain = [parameter.square().sum() for parameter in self.w0 if now.c is None or id(parameter) not in treated]
        total = torch.stack(plain).sum()[None] if plain else self.w0[0].new_zeros(1)
        if now.c is not None:
            total = total + torch.stack([branch.squared_norm(now.c) for branch in self]).sum(0)
        return total.expand(now.n) if now.n is not None else total

    def detach(self) -> nn.Module:
        """The plain model, with the current weights and, in its dropout modules, the tuned rates.

        Raises:
            UserError: it is detached already.
        """
        self.refuse_detached()
        self.release()
        now, values = self.hyper.centre(), self.hyper.values()
        for branch in self:
            if now.c is not None:
                branch.settle(now.c[0])
        for name, tuned in self._dropouts.items():
            tuned.module.p = values[name]
        return self.model

    def release(self) -> None:
        """Every layer has its own `forward` again; nothing else changes."""
        self.attached = self.hyper.attached = False
        layers = [branch.layer for branch in self], [norm.layer for norm in self._norms]
        for module in (*chain(*layers), *(tuned.module for tuned in self._dropouts.values())):
            del module.forward

    def refuse_changed(self) -> None:
        """What trains is settled when the responses are attached: a step is on those very parameters.

        Raises:
            UserError: one was frozen, unfrozen or replaced since.
        """
        now = {id(parameter) for parameter in _trainable(self.model, recurse=True)}
        if now != {id(parameter) for parameter in self.w0}:
            what = "parameters of the model were frozen, unfrozen or replaced after the Tuner was made"
            raise UserError(f"{what}; detach it, and make a new Tuner on the model as it is now")

    def refuse_detached(self) -> None:
        """Nothing is left to step once the responses are gone.

        Raises:
            UserError: they are.
        """
        if not self.attached:
            raise UserError("the model is detached; make a new Tuner on it to tune further")


def _move(parameter: nn.Parameter, device: torch.device, dtype: torch.dtype) -> None:
    if parameter.device != device or parameter.dtype != dtype:
        parameter.data = parameter.data.to(device, dtype)


def key(name: str) -> str:
    """A layer's name as a key of `branches`: no dots, nothing that a ModuleDict means otherwise, and never empty."""
    return "/" + name.replace(".", "/")


def _branch(name: str, layer: nn.Module, hyper: Hyperparameters) -> Branch:
    """The layer's response; one that refuses the layer is told its name."""
    try:
        return BRANCHES[type(layer)](layer, hyper)
    except UserError as error:
        raise UserError(f"layer {name or type(layer).__name__!r}: {error}") from error


def _treated(model: nn.Module, without: tuple[str, ...]) -> dict[str, nn.Module]:
    """The layers that get a response, by name."""
    names, every = dict(model.named_modules()), dict(model.named_modules(remove_duplicate=False))
    if unknown := [name for name in without if name not in every]:
        raise UserError(f"the model has no module {unknown[0]!r} to leave without a response")
    # By identity, since a module that is shared goes by several names.
    left = {id(module) for name in without for module in (every[name].modules() if name else [model])}
    if any(getattr(module, "_compiled_call_impl", None) or hasattr(module, "_orig_mod") for module in names.values()):
        raise UserError("the model is compiled; give it as it was before, and compile what `detach` returns")
    own = {name: _trainable(module) for name, module in names.items() if id(module) not in left}
    _refuse_unknown({name: names[name] for name, parameters in own.items() if parameters})
    layers: dict[str, nn.Module] = {}
    seen: dict[int, str] = {}
    for name, parameters in own.items():
        if not parameters:
            continue
        _check(name, names[name], len(parameters))
        for parameter in parameters:
            if (other := seen.setdefault(id(parameter), name)) != name:
                what = f"{other!r} and {name!r} share a parameter"
                raise UserError(f"{what}, which can follow one rule only; untie them, or leave both without a response")
        layers[name] = names[name]
    if not layers:
        raise UserError("no layer with parameters that can respond: there is nothing for the hyperparameters to move")
    return layers


def _trainable(module: nn.Module, recurse: bool = False) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters(recurse) if parameter.requires_grad]


def _within(name: str, others: Iterable[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in others)


def _refuse_unknown(layers: dict[str, nn.Module]) -> None:
    """One error names all layers that no branch treats, so that one answer is enough."""
    unknown: list[str] = []
    for name, layer in layers.items():
        if type(layer) not in BRANCHES and not _within(name, unknown):
            unknown.append(name)
    if not unknown:
        return
    kind = type(layers[unknown[0]]).__name__
    known = ", ".join(sorted(layer.__name__ for layer in BRANCHES))
    what = f"layer {unknown[0] or kind!r}: no response is known for {kind}"
    leave = "leave it" if len(unknown) == 1 else f"nor for {len(unknown) - 1} more; leave them"
    raise UserError(
        f"{what} (known: {known}); {leave} without one (without_response={unknown}), "
        f"or deep.register({kind}, a Branch of your own)"
    )


def _check(name: str, module: nn.Module, trainable: int) -> None:
    if any(isinstance(value, torch.Tensor) and value.requires_grad for value in vars(module).values()):
        what = "computes its weights from other parameters (weight_norm, spectral_norm, pruning)"
        raise UserError(f"layer {name!r} {what}; remove that, or leave it without a response (without_response)")
    if trainable != len(list(module.parameters(recurse=False))):
        what = "has frozen parameters beside trainable ones"
        raise UserError(f"layer {name!r} {what}; freeze all or none of them, or leave it without a response")
