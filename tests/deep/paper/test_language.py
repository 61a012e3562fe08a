"""H.3's model: what its seven hyperparameters do, where its streams stand, and that every method trains it."""

import math
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from deep import Tuner
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.paper.data.text import Streams, Text
from deep.paper.experiments import EXPERIMENTS
from deep.paper.language import LanguageModel, Outputs, hyperparameters, train_loss, valid_loss
from deep.rates.find import dropout_rates
from deep.rates.sequence import VariationalDropout
from deep.training.batches import Batches
from deep.training.evaluation import scores
from deep.tuner.gradients import evaluate
from reference.console.command import UserError
from reference.rule.updates import DELTA_STN, METHODS
from tests.deep.strategies import close, randomise, response_gradient
from tests.strategies import no_type_checks

WORDS, STREAMS, WIDTH = 11, 4, 6
all_methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def tuned_model(rates: float = 0.3, **options) -> tuple[LanguageModel, Tuner]:
    torch.manual_seed(1)
    model = LanguageModel(WORDS, STREAMS, WIDTH).double()
    hyper = Hyperparameters([replace(hyperparameter, start=rates) for hyperparameter in hyperparameters(model)])
    return model, Tuner(model, hyper, train_loss(hyper), valid_loss, **options)


def text(T: int = 5, first: bool = True, seed: int = 0) -> Text:
    tokens = torch.randint(WORDS, (STREAMS, T), generator=torch.Generator().manual_seed(seed))
    return Text(tokens, torch.full((STREAMS,), first))


def forget(model: LanguageModel) -> None:
    """Put the state of all streams to zero."""
    for carried in (model.training_state, model.evaluation_state):
        carried.before, carried.after = torch.zeros_like(carried.before), torch.zeros_like(carried.after)


def test_the_seven_hyperparameters_are_h3s() -> None:
    declared = hyperparameters(LanguageModel(WORDS, STREAMS, WIDTH))
    rates = ["embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "dropconnect"]
    assert [hyperparameter.name for hyperparameter in declared] == [*rates, "ar", "tar"]
    assert {(hyperparameter.start, hyperparameter.low) for hyperparameter in declared} == {(0.05, 0.0)}
    assert [hyperparameter.high for hyperparameter in declared] == [0.95] * 5 + [4.0] * 2
    assert [hyperparameter.name for hyperparameter in declared if hyperparameter.per == "batch"] == ["dropconnect"]


def test_the_model_has_h3s_size() -> None:
    """Two layers of 4·650·(650 + 650) weights and two biases, an embedding, and a decoder of its own."""
    count = sum(p.numel() for p in LanguageModel(100).parameters())
    assert count == 2 * (4 * 650 * (650 + 650) + 8 * 650) + 100 * 650 + 100 * 651


# The masks.


def test_variational_dropout_has_one_mask_for_all_steps() -> None:
    x = torch.rand(50, 7, 20) + 1
    torch.manual_seed(0)
    y = VariationalDropout(0.4)(x)
    surviving = y != 0
    assert torch.equal(surviving, surviving[:, :1].expand_as(surviving))
    close(y[surviving], x[surviving] / 0.6, rtol=1e-6)
    assert abs(surviving.double().mean() - 0.6) < 6 * math.sqrt(0.24 / 1000)
    assert len({tuple(row.tolist()) for row in surviving[:, 0]}) > 1
    assert torch.equal(VariationalDropout(0.4).eval()(x), x)


@pytest.mark.parametrize("attached", [False, True])
def test_embedding_dropout_drops_a_word_wherever_its_example_has_it(attached: bool) -> None:
    model, tuner = tuned_model()
    model.embedding_dropout.p = 0.3
    tokens = torch.randint(WORDS, (STREAMS, 60))
    torch.manual_seed(0)
    centre = tuner.hyper.centre(STREAMS)
    with tuner.net.through(centre) if attached else nullcontext():
        vectors = model.embedded(tokens)
    plain = model.embedding(tokens)
    surviving = (vectors != 0).any(-1)
    for example, row in zip(tokens, surviving, strict=True):
        assert all(len(set(row[example == word].tolist())) <= 1 for word in range(WORDS))
    close(vectors[surviving], plain[surviving] / 0.7, rtol=1e-6)  # λ was set in float32
    assert surviving.any()
    assert not surviving.all()
    assert len({tuple(surviving[i][tokens[i] == 0].tolist()) for i in range(STREAMS)}) > 1


def test_in_evaluation_nothing_is_dropped_and_the_model_is_the_plain_chain() -> None:
    model, tuner = tuned_model()
    x, t = text(), text(seed=1).tokens
    loss, outputs = tuner.evaluate(x, t)
    y = model.embedding(x.tokens)
    for lstm in model.lstms:
        plain = nn.LSTM(WIDTH, WIDTH, batch_first=True).double()
        plain.load_state_dict(dict(lstm.named_parameters()))
        y = plain(y)[0]
    close(outputs.logits, model.decoder(y))
    assert torch.equal(outputs.dropped, outputs.raw)
    close(loss, F.cross_entropy(model.decoder(y).flatten(0, 1), t.flatten()))


# The penalties.


def test_the_training_loss_adds_ar_and_tar_of_each_example() -> None:
    """Merity et al.: α · mean of squared dropped outputs, β · mean of squared steps of the raw ones; by loops."""
    _, tuner = tuned_model()
    torch.manual_seed(0)
    outputs = Outputs(*(torch.randn(STREAMS, 3, m).double() for m in (WORDS, WIDTH, WIDTH)))
    t = torch.randint(WORDS, (STREAMS, 3))
    lam = torch.randn(STREAMS, 7).double()
    with tuner.net.through(Pass(lam, None, STREAMS)):
        actual = tuner.training.loss(outputs, t)
    desired = sum(-outputs.logits[n, s].log_softmax(0)[t[n, s]] for n in range(STREAMS) for s in range(3)) / 12
    for n in range(STREAMS):
        ar = sum(outputs.dropped[n, s, j] ** 2 for s in range(3) for j in range(WIDTH)) / (3 * WIDTH)
        steps = [outputs.raw[n, s + 1, j] - outputs.raw[n, s, j] for s in range(2) for j in range(WIDTH)]
        tar = sum(step**2 for step in steps) / (2 * WIDTH)
        desired = desired + (4 * lam[n, 5].sigmoid() * ar + 4 * lam[n, 6].sigmoid() * tar) / STREAMS
    close(actual, desired)


def test_one_step_has_no_temporal_penalty() -> None:
    _, tuner = tuned_model()
    outputs = Outputs(*(torch.randn(STREAMS, 1, m).double() for m in (WORDS, WIDTH, WIDTH)))
    assert torch.isfinite(tuner.training.loss(outputs, torch.zeros(STREAMS, 1, dtype=torch.long)))


def test_penalties_see_linearised_activations() -> None:
    """f(w0) + J Δw is linear in Δw, so two opposite perturbations average to f(w0): in each of the three outputs."""
    model, tuner = tuned_model()
    model.eval()
    randomise(tuner.net)
    c = torch.randn(STREAMS, 7).double()

    def outputs(c: Tensor | None) -> Outputs:
        forget(model)
        point = Pass(tuner.hyper.lam.detach().expand(STREAMS, 7), c, STREAMS, "weights" if c is None else "linearised")
        with torch.no_grad():
            return evaluate(tuner.net, tuner.validation, text(), text(seed=1).tokens, point)[1]

    for ahead, behind, centre in zip(outputs(c), outputs(-c), outputs(None), strict=True):
        close((ahead + behind) / 2, centre)
        assert not torch.allclose(ahead, centre)


# The state between batches.


def test_two_batches_of_a_stream_are_one_long_one() -> None:
    model, tuner = tuned_model()
    tokens = text(T=9).tokens
    first = torch.full((STREAMS,), True)
    whole = tuner.evaluate(Text(tokens, first), tokens)[1]
    front = tuner.evaluate(Text(tokens[:, :4], first), tokens[:, :4])[1]
    two = tuner.evaluate(Text(tokens[:, 4:], ~first), tokens[:, 4:])[1]
    for a, b, both in zip(front, two, whole, strict=True):
        close(torch.cat([a, b], 1), both)
    forget(model)
    again = tuner.evaluate(Text(tokens[:, 4:], ~first), tokens[:, 4:])[1]
    assert not torch.allclose(again.logits, two.logits)


def test_a_stream_that_begins_owes_nothing_to_the_one_before_and_the_others_go_on() -> None:
    model, tuner = tuned_model()
    x = text(first=False)
    tuner.evaluate(text(seed=2), x.tokens)
    surviving = tuner.evaluate(x, x.tokens)[1].logits
    tuner.evaluate(text(seed=2), x.tokens)
    begins = torch.tensor([True, False, True, False])
    mixed = tuner.evaluate(Text(x.tokens, begins), x.tokens)[1].logits
    forget(model)
    fresh = tuner.evaluate(x, x.tokens)[1].logits
    close(mixed, torch.where(begins[:, None, None], fresh, surviving))


def test_thetas_pass_starts_where_w0s_started_and_moves_nothing() -> None:
    model, tuner = tuned_model()
    x, t = text(first=False), text(seed=1).tokens
    tuner.inner_step(text(seed=2), t)
    start = model.training_state.after.clone()
    tuner.inner_step(x, t)
    close(model.training_state.before, start, rtol=0.0)
    after = model.training_state.after.clone()
    z = torch.zeros(STREAMS, 7).double()
    response_gradient(DELTA_STN, tuner.net, tuner.training, z, x, t, STREAMS)
    assert torch.equal(model.training_state.before, start)
    assert torch.equal(model.training_state.after, after)
    assert not after.requires_grad


def test_training_and_evaluation_stand_at_places_of_their_own() -> None:
    model, tuner = tuned_model()
    x, t = text(), text(seed=1).tokens
    tuner.inner_step(x, t)
    training = model.training_state.after.clone()
    assert not model.evaluation_state.after.any()
    tuner.evaluate(x, t)
    tuner.outer_step(x, t)
    assert model.evaluation_state.after.any()
    assert not model.evaluation_state.after.requires_grad
    assert torch.equal(model.training_state.after, training)


def test_outer_steps_go_on_where_the_last_one_ended_whatever_was_evaluated_between() -> None:
    model, tuner = tuned_model()
    tokens = torch.randint(WORDS, (STREAMS * 12 + 1,), generator=torch.Generator().manual_seed(0))
    tuner.outer_step(text(), text(seed=1).tokens)
    places = [carried.clone() for carried in model.buffers()]
    scores("valid", tuner, Batches(Streams(tokens, STREAMS, 5), None, seed=0, shuffle=False), {})
    assert model.evaluation_state.after.any()
    for before, after in zip(places, model.buffers(), strict=True):
        assert torch.equal(before, after)


def test_a_checkpoint_holds_the_state() -> None:
    model, tuner = tuned_model()
    x, t = text(), text(seed=1).tokens
    tuner.inner_step(x, t)
    tuner.evaluate(x, t)
    saved = tuner.state_dict()
    assert all(carried.after.any() for carried in (model.training_state, model.evaluation_state))
    other, restored = tuned_model()
    restored.load_state_dict(saved)
    for (name, value), (its, wanted) in zip(other.named_buffers(), model.named_buffers(), strict=True):
        assert name == its
        assert torch.equal(value, wanted)
    again = text(first=False, seed=3)
    assert torch.equal(tuner.inner_step(again, t).loss, restored.inner_step(again, t).loss)


def test_another_number_of_streams_is_an_error_that_says_so() -> None:
    _, tuner = tuned_model()
    with pytest.raises(UserError, match="2 streams for a model of 4; build it with streams=2"):
        tuner.detach()(Text(torch.zeros(2, 3, dtype=torch.long), torch.full((2,), True)))


def test_the_loss_over_a_text_is_the_mean_over_its_words_though_the_last_batch_is_short() -> None:
    _, tuner = tuned_model()
    tokens = torch.randint(WORDS, (STREAMS * 12 + 1,), generator=torch.Generator().manual_seed(0))
    average, whole = (
        scores("valid", tuner, Batches(Streams(tokens, STREAMS, T), None, seed=0, shuffle=False), {})["valid_loss"]
        for T in (5, 12)
    )
    close(average, whole)


# Training.


@all_methods
def test_every_method_trains_a_small_model(method) -> None:
    """Cyclic text: each word tells the next, so the loss can fall far below log(words)."""
    torch.manual_seed(0)
    model = LanguageModel(WORDS, STREAMS, 16)
    hyper = Hyperparameters(hyperparameters(model))
    fast, slow = partial(Adam, lr=0.02), partial(Adam, lr=0.002)
    tuner = Tuner(
        model, hyper, train_loss(hyper), valid_loss, method=method, w0=fast, Theta=slow, lam=slow,
        sigma=None, clip=0.25,
    )  # fmt: skip
    train = Streams(torch.arange(161) % WORDS, STREAMS, 10)
    x, t = Streams(torch.arange(41) % WORDS, STREAMS, 10)[0]
    before, start = float(tuner.evaluate(x, t)[0]), hyper.values()
    with no_type_checks():  # a long loop
        for step in range(40):
            tuner.inner_step(*train[step % len(train)])
            for _ in range(tuner.due()):
                tuner.outer_step(x, t)
    assert abs(before - math.log(WORDS)) < 0.1
    assert float(tuner.evaluate(x, t)[0]) < before - 1
    assert all(value != start[name] for name, value in hyper.values().items())
    assert all(bool(response.U.any()) for _, _, response in tuner.net)


def test_a_detached_model_drops_at_the_tuned_rates_in_every_place() -> None:
    model, tuner = tuned_model(w0=partial(SGD, lr=0.0))
    with torch.no_grad():
        tuner.hyper.lam.fill_(1.0)
    assert tuner.detach() is model
    rate = 0.95 / (1 + math.exp(-1))
    places = (
        model.embedding_dropout,
        model.input_dropout,
        model.hidden_dropout,
        model.output_dropout,
        model.dropconnect,
    )
    close(torch.tensor([place.p for place in places]), torch.full((5,), rate), rtol=1e-6)
    assert torch.isfinite(valid_loss(model(text()), text(seed=1).tokens))


def test_h3s_learning_rate_is_a_quarter_after_five_epochs_without_improvement_however_small() -> None:
    """And the ninth quarter of 30 is the first below 0.0003, where training stops."""
    optimisation = EXPERIMENTS["ptb-lstm"].optimisation
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(1, 1))
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), nn.functional.mse_loss, w0=optimisation.weights())
    (group,), schedulers = tuner.optimisers["w0"].param_groups, optimisation.schedulers(tuner, epochs=1000)

    def after(losses: list[float]) -> float:
        for loss in losses:
            for scheduler in schedulers:
                assert isinstance(scheduler, ReduceLROnPlateau)
                scheduler.step(loss)
        return group["lr"]

    assert after([5.0 - 1e-5 * epoch for epoch in range(20)]) == 30.0
    assert after([5.0] * 4) == 30.0
    assert after([5.0]) == 7.5
    assert (after([5.0] * 5 * 7), optimisation.stop(tuner)) == (30 / 4**8, False)
    assert (after([5.0] * 5), optimisation.stop(tuner)) == (30 / 4**9, True)
