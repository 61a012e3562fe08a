"""The step interface: order and count of steps, states that go on bit for bit, any optimizer, lower precision."""

import copy
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import StepLR

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, extended
from reference.console.command import InputWarning, UserError
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS, REPARAM_STN, Method
from tests.deep.strategies import close, half_square

EVERY = (*METHODS, DELTA_STN_CV_NORMALISED)
all_methods = pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
DECAY = Hyperparameter("decay", start=0.1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(8, 2))


def tuner(method: Method | None = DELTA_STN, model: nn.Module | None = None, **options: Any) -> Tuner:
    model = model or network()
    hyper = Hyperparameters([*dropout_rates(model), DECAY])
    held: list[Tuner] = []

    def penalised(y: Tensor, t: Tensor) -> Tensor:
        return half_square(y, t) + (hyper["decay"] * held[0].squared_norm()).mean()

    held.append(Tuner(model, hyper, penalised, half_square, method=method, **options))
    return held[0]


def batch(seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(4, 1, 4, 4, generator=rng), torch.randn(4, 2, generator=rng)


def go(item: Tuner, first: int, last: int) -> None:
    for step in range(first, last):
        item.inner_step(*batch(step))
        for _ in range(item.due()):
            item.outer_step(*batch(-step - 1))


def bits(item: Tuner) -> list[Tensor]:
    lists = [item.model.state_dict().values(), item.net.responses.state_dict().values()]
    return [t.detach().clone() for those in lists for t in those] + [
        item.hyper.lam.detach().clone(),
        item.hyper.raw_sigma.detach().clone(),
    ]


def same(item: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(item, other, strict=True))


@pytest.mark.parametrize("method", [*EVERY, None])
def test_a_state_goes_on_bit_for_bit_and_seeds_repeat(method: Method | None) -> None:
    base, again, other = tuner(method, T_train=2), tuner(method, T_train=2), tuner(method, T_train=2, seed=1)
    go(base, 0, 5)
    state = copy.deepcopy(base.state_dict())
    go(base, 5, 10)
    go(again, 0, 10)
    assert same(bits(base), bits(again))
    other = tuner(method, T_train=2)
    other.load_state_dict(state)
    go(other, 5, 10)
    assert same(bits(base), bits(other))
    assert (base.inner_steps, base.outer_steps) == (10, 0 if method is None else 5)


def test_other_seeds_draw_other_things() -> None:
    base, other = tuner(), tuner(seed=1)
    go(base, 0, 2)
    go(other, 0, 2)
    assert not same(bits(base), bits(other))


@all_methods
def test_running_statistics_move_once_a_step(method: Method) -> None:
    """m <- 0.9 m + 0.1 mean once for an inner step, and never for an outer step or an evaluation."""
    tuned = tuner(method)
    norm = tuned.model[1]  # type: ignore[operator]
    for step in range(3):
        tuned.inner_step(*batch(step))
        assert norm.num_batches_tracked == step + 1
    before = [buffer.clone() for buffer in tuned.model.buffers()]
    tuned.outer_step(*batch(9))
    tuned.evaluate(*batch(9))
    assert same(before, list(tuned.model.buffers()))
    assert tuned.model.training


def test_statistics_are_those_of_w0s_pass() -> None:
    base, plain = tuner(CENTERED_STN), network()
    x, t = batch(0)
    plain(x)
    base.inner_step(x, t)
    close(base.model[1].running_mean, plain[1].running_mean, 1e-6)  # type: ignore[operator]


@all_methods
def test_each_step_moves_its_own_and_leaves_no_gradient(method: Method) -> None:
    """An inner step leaves λ and σ bit for bit, an outer one w0 and Θ."""
    tuned = tuner(method)
    everything = [*tuned.net.w0, *tuned.net.Theta, tuned.hyper.lam, tuned.hyper.raw_sigma]
    for step, still in ((tuned.inner_step, everything[-2:]), (tuned.outer_step, everything[:-2])):
        moving = [p for p in everything if not any(p is q for q in still)]
        before, was = [p.detach().clone() for p in still], [p.detach().clone() for p in moving]
        step(*batch(0))
        assert same(before, [p.detach() for p in still])
        assert not same(was, [p.detach() for p in moving])
        assert all(p.grad is None for p in everything)


@pytest.mark.parametrize("method", [DELTA_STN, REPARAM_STN], ids=lambda method: method.name)
def test_penalties_are_in_the_training_loss_alone(method: Method) -> None:
    tuned = tuner(method)
    x, t = batch(0)
    loss, y = tuned.evaluate(x, t)
    close(loss, half_square(copy.deepcopy(tuned.net.model).eval()(x), t), 1e-6)
    close(tuned.outer_step(x, t).loss, half_square(y, t), 1e-6)
    tuned.hyper.set({"decay": 1e3})
    assert tuned.evaluate(x, t)[0] < 100
    assert tuned.inner_step(x, t).loss > 100


@all_methods
def test_outer_steps_follow_warm_up_and_every_t_train(method: Method) -> None:
    tuned = tuner(method, T_train=3, T_valid=2, warm_up=4)
    dues = []
    for step in range(10):
        tuned.inner_step(*batch(step))
        dues.append(tuned.due())
    assert dues == [0, 0, 0, 0, 0, 0, 2, 0, 0, 2]


@all_methods
def test_any_optimizer_and_scheduler(method: Method) -> None:
    tuned = tuner(method, w0=partial(Adam, lr=0.1), Theta=partial(AdamW, lr=0.1), lam=Adam, sigma=Adam)
    assert set(tuned.optimisers) == {"w0", "Theta", "lam", "sigma"}
    schedulers = [StepLR(optimiser, 1, 0.1) for optimiser in tuned.optimisers.values()]
    go(tuned, 0, 5)
    for scheduler in schedulers:
        scheduler.step()
    assert tuned.optimisers["Theta"].param_groups[0]["lr"] == pytest.approx(0.01)
    state = tuned.state_dict()
    again = tuner(method, w0=partial(Adam, lr=0.1), Theta=partial(AdamW, lr=0.1), lam=Adam, sigma=Adam)
    again.load_state_dict(state)
    assert again.optimisers["Theta"].param_groups[0]["lr"] == pytest.approx(0.01)


def test_sigma_can_stay() -> None:
    tuned = tuner(sigma=None)
    before = tuned.hyper.raw_sigma.detach().clone()
    go(tuned, 0, 6)
    assert torch.equal(tuned.hyper.raw_sigma.detach(), before)


@all_methods
def test_clipping_bounds_each_gradients_norm(method: Method) -> None:
    """With SGD at rate 1 a step is the gradient; σ is not 1, so that Θ's, divided by σ², is clipped after that."""
    step = partial(SGD, lr=1.0)
    tuned = tuner(method, clip=1e-3, w0=step, Theta=step)
    with torch.no_grad():
        tuned.hyper.raw_sigma.fill_(-2.0)
    groups = (tuned.net.w0, tuned.net.Theta)
    before = [[p.detach().clone() for p in group] for group in groups]
    tuned.inner_step(*batch(0))
    for group, was in zip(groups, before, strict=True):
        moved = torch.stack([(p - q).square().sum() for p, q in zip(group, was, strict=True)]).sum().sqrt()
        close(moved, 1e-3, 1e-2)


@all_methods
def test_lower_precision_follows_full_precision(method: Method) -> None:
    """bfloat16 has 8 bits; parameters and λ stay float32."""
    full = tuner(method)
    half = tuner(method, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    for item in (full, half):
        go(item, 0, 6)
    for a, b in zip(bits(full), bits(half), strict=True):
        assert b.dtype == a.dtype
        close(b, a, 0.1)


@all_methods
def test_the_model_may_change_its_precision_before_it_steps(method: Method) -> None:
    tuned = tuner(method)
    tuned.model.double()
    x, t = batch(0)
    tuned.inner_step(x.double(), t.double())
    tuned.outer_step(x.double(), t.double())
    assert {p.dtype for p in (*tuned.net.Theta, tuned.hyper.lam)} == {torch.float64}


@all_methods
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_every_step_of_lam_counts(method: Method, dtype: torch.dtype) -> None:
    """At 0.3 bfloat16 loses a step of 1e-4, and float16 an RMSprop's squares, of which it makes infinity."""
    tuned = tuner(method, lam=partial(RMSprop, lr=1e-4), sigma=partial(RMSprop, lr=1e-4))
    tuned.model.to(dtype)
    x, t = (part.to(dtype) for part in batch(0))
    before = tuned.hyper.lam.detach().float().clone()
    tuned.inner_step(x, t)
    tuned.outer_step(x, t)
    # RMSprop's first step is lr/√(1 - 0.99) whatever the gradient.
    close((tuned.hyper.lam - before).abs(), 1e-3 * torch.ones(len(tuned.hyper)), 1e-2)


def _unfreeze(model: nn.Sequential) -> None:
    model[-1].requires_grad_(True)


def _freeze(model: nn.Sequential) -> None:
    model[0].requires_grad_(False)


def _replace(model: nn.Sequential) -> None:
    model[-1] = nn.Linear(3, 1)


@pytest.mark.parametrize("change", [_freeze, _unfreeze, _replace])
@pytest.mark.parametrize("method", [None, DELTA_STN])
def test_what_trains_may_not_change_under_a_tuner(
    method: Method | None, change: Callable[[nn.Sequential], None]
) -> None:
    """A layer frozen since has no gradient, and one unfrozen or put in would stay where it is, in silence."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 1).requires_grad_(change is not _unfreeze))
    tuned = Tuner(model, Hyperparameters(dropout_rates(model)), half_square, method=method)
    change(model)
    with pytest.raises(UserError, match="frozen, unfrozen or replaced"):
        tuned.inner_step(torch.ones(4, 2), torch.ones(4, 1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x) @ self.fc.weight


@all_methods
@pytest.mark.parametrize("eps_per", ["example", "batch"])
def test_a_penalty_that_is_written_out_has_the_gradient_of_squared_norm(method: Method, eps_per: str) -> None:
    """Each example's own weights in it, also of a weight that no layer of its own uses."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def after(written: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model, hyper = Tied().double(), Hyperparameters([DECAY])

        def penalised(y: Tensor, t: Tensor) -> Tensor:
            by_hand = model.fc.weight.square().sum() + (model.out.bias**2).sum()
            norm = by_hand if written else tuned.squared_norm("fc.weight", "out.bias").mean()
            return half_square(y, t) + 0.1 * norm + 0.0 * hyper["decay"].mean()

        tuned = Tuner(model, hyper, penalised, half_square, method=method, eps_per=eps_per, seed=2)
        with torch.no_grad():
            for parameter in tuned.net.Theta:
                parameter.normal_()
        tuned.inner_step(x, x)
        return bits(tuned)

    for tuned, other in zip(after(True), after(False), strict=True):
        close(tuned, other)


def test_a_weights_type_and_shape_may_be_used_anywhere() -> None:
    class Like(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            weight = self[1].weight
            return self[1](self[0](input).type_as(weight).to(weight).expand_as(weight).view_as(weight))

    hyper = Hyperparameters([DECAY])
    tuned = Tuner(Like(nn.Linear(3, 3), nn.Linear(3, 3)), hyper, lambda y, t: half_square(y, t) + hyper["decay"].mean())
    assert tuned.inner_step(torch.ones(3, 3), torch.ones(3, 3)).loss.isfinite()


@all_methods
def test_a_batch_that_is_changed_in_place_is_refused_where_two_passes_see_it(method: Method) -> None:
    model = nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(3, 3), nn.Dropout(0.2))
    rates = [rate for rate in dropout_rates(model) if rate.name == "2"]
    tuned = Tuner(model, Hyperparameters(rates), half_square, method=method)
    twice = method.unperturbed or extended(method).control_variate
    with pytest.raises(UserError, match="changes the batch in place") if twice else nullcontext():
        tuned.inner_step(torch.ones(4, 3), torch.ones(4, 3))


def unchecked(kind: type, *args: Any, **kwargs: Any) -> None:
    """As without the tests' checks of types, which a user has not."""
    inspect.unwrap(kind.__init__)(object.__new__(kind), *args, **kwargs)


def unchecked_tuner(**options: Any) -> None:
    unchecked(Tuner, network(), Hyperparameters([DECAY]), half_square, **options)


@pytest.mark.parametrize("size", ["2", "1"])
def test_processes_of_torchrun_without_a_group_are_refused(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    """Each would train the whole run. One process needs no group."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", size)
    if size == "1":
        tuner()
        return
    with pytest.raises(UserError, match=r"torchrun has started 2 processes.*torch.distributed.init_process_group\(\)"):
        tuner()


@pytest.mark.parametrize("method", [DELTA_STN, REPARAM_STN, DELTA_STN_CV_NORMALISED, None])
def test_a_hyperparameter_that_the_first_step_does_not_read_is_named_once(method: Method | None) -> None:
    """Of another model, in a model that calls F.dropout, or misspelt; others are read by the loss, or a dropout."""
    model = network()
    hyper = Hyperparameters([*dropout_rates(model), DECAY, Hyperparameter("stray", start=0.1)])

    def penalised(y: Tensor, t: Tensor) -> Tensor:
        return half_square(y, t) + hyper["decay"].mean()

    tuned = Tuner(model, hyper, penalised, half_square, method=method)
    assert hyper["stray"] > 0  # outside a step
    with pytest.warns(InputWarning, match="^nothing has read 'stray' in the first training step: read it") as caught:
        tuned.inner_step(*batch(0))
    assert len(caught) == 1
    tuned.inner_step(*batch(1))  # where a warning is an error
    model.eval()
    with pytest.warns(InputWarning, match="^nothing has read '3', 'stray' in"):
        Tuner(tuned.detach(), hyper, penalised, half_square, method=method).inner_step(*batch(0))


def test_a_state_that_lacks_a_part_is_one_line_and_moves_nothing() -> None:
    base, other = tuner(), tuner()
    go(other, 0, 6)
    before, state = bits(base), other.state_dict()
    for part in state:
        lacking = {name: value for name, value in state.items() if name != part}
        with pytest.raises(UserError, match=f"^this is no state of a Tuner: it has no '{part}'; give what [^\n]*$"):
            base.load_state_dict(lacking)
        assert same(bits(base), before)


@all_methods
def test_a_state_of_other_layers_or_of_another_start_of_sigma_is_refused(method: Method) -> None:
    """Though every shape is the same."""
    other = network()
    other[2] = nn.Tanh()
    around = network()
    around[0] = nn.Conv2d(1, 2, 3, padding_mode="circular")
    for model in (other, around):
        with pytest.raises(UserError, match="of another run: its layers differ"):
            tuner(method).load_state_dict(tuner(method, model).state_dict())
    model = network()
    wider = Tuner(model, Hyperparameters([*dropout_rates(model), DECAY], sigma=0.3), half_square, method=method)
    with pytest.raises(UserError, match="of another run: its sigma at the start differ"):
        tuner(method).load_state_dict(wider.state_dict())


def detached() -> Tuner:
    tuned = tuner()
    tuned.detach()
    return tuned


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tuner(T_train=0), "T_train=0 is not a whole number of inner steps from 1"),
        (lambda: unchecked_tuner(T_train=2.5), "T_train=2.5 is not a whole number of inner steps from 1"),
        (lambda: tuner(T_valid=-1), "T_valid=-1 is not a whole number of outer steps from 0"),
        (lambda: unchecked_tuner(T_valid=1.0), "T_valid=1.0 is not a whole number of outer steps from 0"),
        (lambda: tuner(warm_up=-1), "warm_up=-1 is not a whole number of inner steps"),
        (lambda: tuner(tau=float("nan")), "tau=nan is not a finite number"),
        (lambda: tuner(clip=-1.0), r"clip=-1.0 is not a norm above zero"),
        (lambda: tuner(clip=float("nan")), r"clip=nan is not a norm above zero"),
        (lambda: unchecked(Hyperparameter, "a", 1.0, per="foo"), "'a': per='foo' is neither 'example' nor 'batch'"),
        (
            lambda: unchecked(Tuner, network(), [DECAY], half_square),
            r"hyper is a list; give Hyperparameters\(\[...\]\)",
        ),
        (
            lambda: unchecked_tuner(method="delta-stn"),
            "method='delta-stn' is no method; give one of reference.rule.updates, such as DELTA_STN",
        ),
        (lambda: tuner(w0=LBFGS), "w0=LBFGS: its step needs a closure"),
        (lambda: tuner(sigma=LBFGS), "sigma=LBFGS: its step needs a closure"),
        (lambda: detached().detach(), "the model is detached"),
        (lambda: detached().inner_step(*batch(0)), "the model is detached"),
        (lambda: detached().outer_step(*batch(0)), "the model is detached"),
        (lambda: detached().state_dict(), "the model is detached"),
        (lambda: copy.deepcopy(tuner()), r"a Tuner cannot be copied; copy.deepcopy its state_dict\(\)"),
        (lambda: tuner(eps_per="row"), "eps_per='row'"),
        (lambda: tuner(None).outer_step(*batch(0)), "no outer step"),
        (lambda: tuner().inner_step(torch.ones(0, 1, 4, 4), torch.ones(0, 2)), "a batch without examples"),
        (lambda: tuner().load_state_dict(tuner(CENTERED_STN).state_dict()), "of another run"),
        (lambda: tuner().load_state_dict({}), "no state of a Tuner"),
        (lambda: tuner().load_state_dict(network().state_dict()), "no state of a Tuner"),
        (lambda: tuner(model=nn.Sequential(nn.ReLU(), nn.Dropout(0.1))), "no parameter that trains"),
    ],
)
def test_what_cannot_be_is_one_line(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", [{"lam": LBFGS}, {"w0": partial(SGD, lr=-1.0)}, {"Theta": lambda those: 1 / 0}])
def test_a_tuner_that_was_not_made_leaves_the_model_to_the_next(broken: dict[str, Any]) -> None:
    model = network()
    hyper = Hyperparameters(dropout_rates(model))
    with pytest.raises((UserError, ValueError, ZeroDivisionError)):
        Tuner(model, hyper, half_square, **broken)
    Tuner(model, hyper, half_square).inner_step(*batch(0))
