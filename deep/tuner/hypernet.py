"""Eqns. 2.6 and 3.1 on a model of one's own: a response for each trainable parameter, and the passes at w0 + Δw.

    name        symbol      meaning
    model       w0 (φ0)     the model's own parameters
    responses   Θ (Φ)       by parameter, apart from the model: its state_dict stays as it was
    hyper       λ, σ        what is tuned

Nothing of the model is replaced. Inside `through` operations on its parameters and drop rates follow their rules.
"""

import sys
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import deep.rates.dropout
import deep.responses.norms
import deep.responses.rules  # noqa: F401  (they register their rules)
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.hyper.parallel import processes
from deep.rates.find import holders
from deep.rates.marks import Mark, marked
from deep.responses.forward import Forward
from deep.responses.layouts import Layouts
from deep.responses.row_response import RowResponse, row_axis, starts
from deep.responses.weights import NoRule, differential
from reference.console.command import InputWarning, UserError

_attached: "weakref.WeakKeyDictionary[nn.Module, weakref.ref[Any]]" = weakref.WeakKeyDictionary()


class Hypernetwork:
    """A model with responses.

    Args:
        without_response: names or patterns of parameters that stay as they are (Θ = 0 there); or one of these.
        respond: whether anything responds; if not, only drop rates are tuned.

    Raises:
        UserError: nothing could respond, the model is compiled or tuned already, or the hyperparameters are another's.
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
        self._require_free()
        self.w0 = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.names = {name: w for name, w in model.named_parameters() if w.requires_grad}
        patterns = (without_response,) if isinstance(without_response, str) else tuple(without_response)
        self.silent = dict.fromkeys(self.matching(patterns, "without_response"), "left out (without_response)")
        self.responses = nn.ModuleDict()
        if respond:
            for name, response in self._new_responses():
                self.responses[key(name)] = response
            if not self.responses:
                raise UserError("no parameter can respond: there is nothing for the hyperparameters to move")
        self.rates = {name: holder for name, holder in holders(model).items() if name in hyper}
        self._require_bounds()
        self.idle_rates: dict[str, float] = {}
        self.withdrawn: dict[str, float] = {}
        self.layouts = Layouts()
        self.looked = self.looking = False
        self.attached, self.running, self.warned, self.followed = True, False, False, True
        _attached[model] = hyper.owner = weakref.ref(self)
        self._hook = model.register_forward_pre_hook(_warn_untuned)
        self.follow()

    def _require_free(self) -> None:
        if any(
            getattr(module, "_compiled_call_impl", None)
            or hasattr(module, "_orig_mod")
            or isinstance(module, torch.jit.ScriptModule)
            for module in self.model.modules()
        ):
            problem = "the model is compiled; give it as it was before, and where no drop rate is tuned"
            raise UserError(f"{problem} predict=torch.compile(model), which then runs the passes at w0")
        other = _attached.get(self.model, lambda: None)()
        if other is not None and other.attached:
            raise UserError("the model has a tuner already; detach the earlier tuner first")
        owner = self.hyper.owner()
        if owner is not None and owner.attached:
            problem = "these Hyperparameters are another tuner's, which is attached"
            raise UserError(f"{problem}; detach it, or declare them anew: their λ and σ move with it")

    def _require_bounds(self) -> None:
        for declared in self.hyper.declared:
            if declared.name in self.rates and (declared.low < 0 or declared.high > 1):
                problem = f"dropout {declared.name!r}: its rate is declared in ({declared.low}, {declared.high})"
                raise UserError(f"{problem}; give bounds within 0 and 1, such as high=0.95")

    def _new_responses(self) -> Iterator[tuple[str, RowResponse]]:
        """Responses of the parameters that are not left out, module by module, each parameter once."""
        met: set[int] = set()
        for path, module in self.model.named_modules():
            owned = {f"{path}.{name}".lstrip("."): name for name, w in module.named_parameters(recurse=False)}
            wanted = [name for name in owned if name in self.names and name not in self.silent]
            wanted = [name for name in wanted if id(self.names[name]) not in met]
            if not wanted:
                continue
            start = starts(module)
            kind = self.model.get_submodule(path.split(".parametrizations.")[0].removeprefix("parametrizations."))
            for name in wanted:
                w = self.names[name]
                met.add(id(w))
                yield name, RowResponse(start[owned[name]], len(self.hyper), row_axis(kind, w))

    def matching(self, patterns: Iterable[str], argument: str) -> list[str]:
        """Names of trainable parameters, as they are or by pattern; the name of a module means all of its own.

        Raises:
            UserError: a pattern that no parameter and no module has.
        """
        names: list[str] = []
        modules = {name for name, _ in self.model.named_modules()}
        every = {name: id(w) for name, w in self.model.named_parameters(remove_duplicate=False)}
        for pattern in patterns:
            fits = [name for name in every if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
            if not fits and pattern not in modules:
                raise UserError(f"{argument}={pattern!r} is no parameter of the model, nor a pattern of names")
            identities = {every[name] for name in fits}
            names += [name for name, w in self.names.items() if id(w) in identities]
        return names

    def __iter__(self) -> Iterator[tuple[str, nn.Parameter, RowResponse]]:
        """The parameters that respond, with their names and responses."""
        for name, w in self.names.items():
            if name not in self.silent and key(name) in self.responses:
                response = self.responses[key(name)]
                assert isinstance(response, RowResponse)
                yield name, w, response

    @property
    def Theta(self) -> list[nn.Parameter]:
        """The parameters of all responses."""
        return list(self.responses.parameters())

    def per_variance(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients in Θ with what follows λ_j, U's column j, divided by σ_j² (Observation 1's curvature).

        The response weights serve every λ_j, and are divided by the mean.
        """
        U = {id(parameter) for name, parameter in self.responses.named_parameters() if name.endswith(".U")}
        variance = self.hyper.sigma.detach().square()
        mean = variance.mean()
        divided = [g / (variance if id(w) in U else mean) for w, g in zip(self.Theta, gradients, strict=True)]
        return [g.to(like) for g, like in zip(divided, gradients, strict=True)]

    def follow(self) -> None:
        """Move each response to where its parameter now is, and λ and σ to where the model is, in float32 at least.

        A step of 0.01 on λ = -3 is lost in bfloat16, and λ's squared gradient in float16.
        """
        for _, w, response in self:
            for parameter in response.parameters():
                _move(parameter, w.device, w.dtype)
        like = next(iter(self.w0), self.hyper.lam)
        for parameter in (self.hyper.lam, self.hyper.raw_sigma):
            _move(parameter, like.device, torch.promote_types(like.dtype, torch.float32).to_real())

    @contextmanager
    def passes(self) -> Iterator[None]:
        """Inside the block the model is run by its tuner."""
        outer, self.running = self.running, True
        try:
            yield
        finally:
            self.running = outer

    @contextmanager
    def through(self, now: Pass) -> Iterator[Forward | None]:
        """Inside the block the model is at the weights and the drop rates of a pass.

        Raises:
            UserError: an operation on a weight that responds cannot be followed.
        """
        with ExitStack() as inside, self.passes(), self.hyper.during(now):
            together = processes() > 1 and now.n is not None and not self.looking
            self.followed = now.c is not None or bool(self.rates) or together
            if not self.followed:
                yield None
                return
            inside.enter_context(eager())
            responses = {id(w): (name, response) for name, w, response in self} if now.c is not None else {}
            forward = Forward(now.kind, responses, now.c, now.n or 1, self.layouts, self._rate, self.draws, together)
            forward.rates = inside.enter_context(self._marked())
            inside.enter_context(forward)
            try:
                yield forward
            except NoRule as error:
                if not self.looked:
                    raise
                problem = f"parameter {error.root!r} cannot be followed ({error.reason})"
                raise UserError(
                    f"{problem}; leave it out (without_response=[{error.root!r}]), or choose eps_per='batch'"
                ) from error

    def _marked(self) -> Any:
        declared = {declared.name: declared for declared in self.hyper.declared}
        marks = [Mark(name, holder, declared[name].start, True) for name, holder in self.rates.items()]
        return marked(marks, lambda name: None)

    def _rate(self, name: str) -> Tensor:
        value = self.hyper[name]
        return value[0] if value.ndim and len(self.hyper.now.lam) == 1 else value

    def withdraw(self, names: Iterable[str]) -> None:
        """Forget presumed hyperparameters that nothing reads, before any step."""
        if not (gone := [name for name in self.hyper.names if name in set(names)]):
            return
        places = self.hyper.withdraw(gone)
        for name in gone:
            self.withdrawn[name] = float(getattr(self.rates[name].module, self.rates.pop(name).attribute))
        for response in self.responses.values():
            assert isinstance(response, RowResponse)
            response.U.data = response.U.data[:, places].clone()

    def squared_norm(self, *patterns: str) -> Float[Tensor, "n"]:
        """‖w‖² of all weights, or of those of some names or patterns, in the pass under way, for each example.

        Linearised or not it is exact: the weights themselves are linear in Δw.
        """
        now = self.hyper.now
        # In order: a set of names has another order in each process, and sums of floats another rounding.
        wanted = dict.fromkeys(self.matching(patterns, "squared_norm") if patterns else self.names)
        total = self.w0[0].new_zeros(1)
        responding = {name: response for name, _, response in self} if now.c is not None else {}
        with torch._C.DisableTorchFunction():
            for name in wanted:
                w, response = self.names[name], responding.get(name)
                if response is None or now.c is None:
                    total = total + w.square().sum()
                elif now.kind == "differential":
                    total = total + w.square().sum() + differential(2 * response.inner(w.detach(), now.c))
                else:
                    total = total + response.squared_norm(w, now.c)
        return total.expand(now.n) if now.n is not None else total

    def detach(self) -> nn.Module:
        """The plain model, with the current weights and drop rates.

        Raises:
            UserError: it is detached already.
        """
        self.require_attached()
        self.release()
        now, values = self.hyper.centre(), self.hyper.values()
        if now.c is not None:
            with torch.no_grad():
                for _, w, response in self:
                    w += response.changes(now.c)[0]
        for name, holder in self.rates.items():
            setattr(holder.module, holder.attribute, values[name])
        return self.model

    def release(self) -> None:
        """Leave the model as it is."""
        self.attached = False
        self._hook.remove()

    def require_unchanged(self) -> None:
        """What trains is settled when the responses are attached: a step is on those very parameters.

        Raises:
            UserError: one was frozen, unfrozen or replaced since.
        """
        now = {id(parameter) for parameter in self.model.parameters() if parameter.requires_grad}
        if now != {id(parameter) for parameter in self.w0}:
            problem = "parameters of the model were frozen, unfrozen or replaced after the Tuner was made"
            raise UserError(f"{problem}; detach it, and make a new Tuner on the model as it is now")

    def require_attached(self) -> None:
        """Nothing is left to step once the responses are gone.

        Raises:
            UserError: they are.
        """
        if not self.attached:
            raise UserError("the model is detached; make a new Tuner on it to tune further")


def eager() -> AbstractContextManager[None]:
    """Inside it nothing compiled runs, for rules follow operations; without a compiler none is loaded."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _warn_untuned(model: nn.Module, _inputs: Any) -> None:
    """Before each call of an attached model: say once that it trains outside its tuner's passes. Copies are silent."""
    net = _attached.get(model, lambda: None)()
    if net is None or not net.attached or net.running or net.warned:
        return
    w0 = {id(w) for w in net.w0}  # a functional call may be at other weights
    if not (model.training and torch.is_grad_enabled() and any(id(w) in w0 for w in model.parameters())):
        return
    net.warned = True
    problem = "a model with a Tuner is run for training outside the Tuner's steps, where nothing is tuned"
    warnings.warn(
        f"{problem}; train it by inner_step, fit or deep.integrations, or detach it", InputWarning, stacklevel=2
    )


def _move(parameter: nn.Parameter, device: torch.device, dtype: torch.dtype) -> None:
    if parameter.device != device or parameter.dtype != dtype:
        parameter.data = parameter.data.to(device, dtype)


def key(name: str) -> str:
    """A parameter's name as a key of `responses`: no dots, and nothing that a ModuleDict means otherwise."""
    return "/" + name.replace(".", "/")
