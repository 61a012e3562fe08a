"""H.3's language model: two LSTM layers over embedded words, and its seven hyperparameters.

    name                symbol   what it does
    embedding_dropout   rate     drops words from an example: rows of the embedding matrix, one mask for each example
    input_dropout       rate     variational (one mask for all steps of an example) on the embedded words,
    hidden_dropout      rate     ... on what the first LSTM gives the second,
    output_dropout      rate     ... and on what the second gives the decoder
    dropconnect         rate     DropConnect on both hidden-to-hidden matrices, one rate and one draw for a batch
    ar                  α        + α mean (dropped outputs)²                 (Merity et al.: activation regularization)
    tar                 β        + β mean (h_t - h_{t-1})² of raw outputs    (... and its temporal companion)

Decoder and embedding are not tied: the paper does not say so, and a shared weight could follow one rule only.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.hyper.parallel import processes, rank
from deep.paper.data.text import Text
from deep.rates.find import dropout_rates
from deep.rates.sequence import DropConnectLSTM, VariationalDropout, WeightDropout
from reference.console.command import UserError

START = 0.05
"""H.3: every rate and both coefficients."""


class WordEmbedding(nn.Embedding):
    """An embedding that starts in ±0.1, as language models' do; nn.Embedding's N(0, 1) would drown the LSTM."""

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.weight, -0.1, 0.1)


class Carried(nn.Module):
    """The hidden state between one batch of a stream and the next, without a graph: moves as running statistics do.

    A pass with `track_running_stats` off, as Θ's is, starts where the last moving pass started: on the same batch, or
    on its first streams.
    Each process carries its own streams' state, so it is no part of the model's state_dict, which all share.
    """

    before: Float[Tensor, "two layers n m"]
    after: Float[Tensor, "two layers n m"]

    def __init__(self, layers: int, n: int, m: int) -> None:
        super().__init__()
        self.track_running_stats = True
        self.register_buffer("before", torch.zeros(2, layers, n, m), persistent=False)
        self.register_buffer("after", torch.zeros(2, layers, n, m), persistent=False)

    def begin(self, first: Bool[Tensor, "n"]) -> Float[Tensor, "two layers n m"]:
        """Return the state to start a batch from; zero for the streams that begin with it."""
        if self.track_running_stats:
            self.before = torch.where(first[:, None], 0, self.after)
        return self.before[:, :, : len(first)]

    def end(self, state: Float[Tensor, "two layers n m"]) -> None:
        """Keep the state after the batch."""
        if self.track_running_stats:
            self.after = state.detach()


class Outputs(NamedTuple):
    """What the losses see: scores of each next word, and the last LSTM's outputs with and without dropout."""

    logits: Float[Tensor, "n T words"]
    dropped: Float[Tensor, "n T m"]
    raw: Float[Tensor, "n T m"]


class LanguageModel(nn.Module):
    """H.3's model; it remembers where its streams stand, in training and in evaluation apart.

    Args:
        words: in the vocabulary.
        streams: examples in every batch; of several processes together.
        width: of the embedding and of both LSTMs.
    """

    def __init__(self, words: int, streams: int = 40, width: int = 650) -> None:
        super().__init__()
        self.embedding = WordEmbedding(words, width)
        self.embedding_dropout = nn.Dropout(START)
        self.input_dropout, self.hidden_dropout, self.output_dropout = (VariationalDropout(START) for _ in range(3))
        self.dropconnect = WeightDropout(START)
        self.lstms = nn.ModuleList(DropConnectLSTM(width, width, self.dropconnect) for _ in range(2))
        self.decoder = nn.Linear(width, words)
        share = len(torch.arange(streams).tensor_split(processes())[rank()])
        self.training_state, self.evaluation_state = Carried(2, share, width), Carried(2, share, width)

    def forward(self, x: Text) -> Outputs:
        """Score each next word.

        Raises:
            UserError: a batch of another number of streams.
        """
        carried = self.training_state if self.training else self.evaluation_state
        if len(x.first) != (streams := carried.after.shape[2]) and carried.track_running_stats:
            raise UserError(f"{len(x.first)} streams for a model of {streams}; build it with streams={len(x.first)}")
        (h, c), ends = carried.begin(x.first), []
        raw = y = self.input_dropout(self.embedded(x.tokens))
        for k, (lstm, dropout) in enumerate(zip(self.lstms, (self.hidden_dropout, self.output_dropout), strict=True)):
            raw, end = lstm(y, (h[k : k + 1], c[k : k + 1]))
            y = dropout(raw)
            ends.append(torch.cat(end))
        carried.end(torch.stack(ends, 1))
        return Outputs(self.decoder(y), y, raw)

    def embedded(self, tokens: Int64[Tensor, "n T"]) -> Float[Tensor, "n T m"]:
        """Look words up as vectors; a dropped word is zero wherever its example has it."""
        words = self.embedding.weight.new_ones(len(tokens), self.embedding.num_embeddings)
        return self.embedding(tokens) * self.embedding_dropout(words).gather(1, tokens)[..., None]


def hyperparameters(model: LanguageModel, high: float = 0.95) -> list[Hyperparameter]:
    """Declare H.3's seven: five rates in (0, high), AR and TAR in (0, 4)."""
    rates = dropout_rates(model, high=high)
    rates = [replace(rate, per="batch") if rate.name == "dropconnect" else rate for rate in rates]
    return [*rates, *(Hyperparameter(name, start=START, high=4.0) for name in ("ar", "tar"))]


def valid_loss(outputs: Outputs, t: Int64[Tensor, "n T"]) -> Float[Tensor, ""]:
    """Average the cross entropy of the next word."""
    return F.cross_entropy(outputs.logits.flatten(0, 1), t.flatten())


def train_loss(hyper: Hyperparameters) -> Callable[[Outputs, Tensor], Tensor]:
    """Add both penalties to the validation loss, each example's at its own α and β."""

    def loss(outputs: Outputs, t: Tensor) -> Tensor:
        ar = outputs.dropped.square().mean((1, 2))
        tar = outputs.raw.diff(dim=1).square().mean((1, 2)) if outputs.raw.shape[1] > 1 else 0.0
        return valid_loss(outputs, t) + (hyper["ar"] * ar + hyper["tar"] * tar).mean()

    return loss
