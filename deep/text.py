"""Text for a language model: tokens of a folder's files or of the novel that comes along, and batches of streams.

    name       shape     meaning
    tokens     (N,)      numbers of words in the vocabulary, in reading order
    Text       (n, T)    n streams, each going on where the batch before it ended; targets are the next words

A vocabulary is the training part's. A line of a file ends with <eos>, as a paragraph of the novel does.
"""

import gzip
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.utils.data import Dataset

from deep.training.checkpoint import digest
from reference.command import UserError

PENN_TREEBANK = {"train": 929589, "valid": 73760, "test": 82430, "vocabulary": 10000}
NOVEL = Path(__file__).parent / "data" / "persuasion.txt.gz"
HOW = (
    "the Penn Treebank is the LDC's and not shipped; give --data-home a folder with ptb.train.txt, ptb.valid.txt and "
    "ptb.test.txt, or with a train.txt, valid.txt and test.txt of your own, or leave it out for the novel (Persuasion)"
)


class Text(NamedTuple):
    """A model's inputs: tokens, and which streams begin with this batch and so owe nothing to the one before."""

    tokens: Int64[Tensor, "n T"]
    first: Bool[Tensor, "n"]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three parts of a text over one vocabulary."""

    name: str
    vocabulary: tuple[str, ...]
    train: Int64[Tensor, "_"]
    valid: Int64[Tensor, "_"]
    test: Int64[Tensor, "_"]

    @cached_property
    def digest(self) -> str:
        """8 hex digits that another text does not have."""
        return digest(self.vocabulary, (self.train, self.valid, self.test))


class Streams(Dataset[tuple[Text, Tensor]]):
    """Item i is a whole batch: step i of n parallel streams, to be read in order. The last batch may be shorter.

    Raises:
        UserError: fewer than two tokens a stream.

    Example:
        >>> x, t = Streams(torch.arange(9), n=2, T=3)[0]
        >>> x.tokens.tolist(), t.tolist(), len(Streams(torch.arange(9), n=2, T=3))
        ([[0, 1, 2], [4, 5, 6]], [[1, 2, 3], [5, 6, 7]], 2)
    """

    def __init__(self, tokens: Int64[Tensor, "_"], n: int, T: int) -> None:
        length = (len(tokens) - 1) // n
        if length < 1:
            raise UserError(f"{len(tokens)} tokens are too few for {n} streams; use fewer streams, or a longer text")
        self.T = T
        self.x, self.t = (part[: n * length].reshape(n, length) for part in (tokens[:-1], tokens[1:]))
        self.tensors = self.x, self.t

    def __len__(self) -> int:
        return -(-self.x.shape[1] // self.T)

    def __getitem__(self, i: int) -> tuple[Text, Tensor]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        steps = slice(i * self.T, (i + 1) * self.T)
        return Text(self.x[:, steps], torch.full((len(self.x),), i == 0)), self.t[:, steps]


def novel() -> Corpus:
    """Persuasion, split 80/10/10 by position; words that its training part has once, or not at all, are <unk>."""
    tokens = words(gzip.decompress(NOVEL.read_bytes()).decode())
    ends = [len(tokens) * tenths // 10 for tenths in (8, 9)]
    train, valid, test = tokens[: ends[0]], tokens[ends[0] : ends[1]], tokens[ends[1] :]
    return _corpus("Persuasion", [word for word, count in Counter(train).items() if count > 1], train, valid, test)


def words(text: str) -> list[str]:
    """Lower-cased words and punctuation, <eos> after each paragraph.

    Example:
        >>> words("Anne's heart--\\nit was _his_!\\n\\nChapter 2")
        ["anne's", 'heart', '--', 'it', 'was', 'his', '!', '<eos>', 'chapter', '2', '<eos>']
    """
    found = (re.findall(r"[a-z0-9]+(?:'[a-z]+)*|--|[^\sa-z0-9_]", part) for part in re.split(r"\n\s*\n", text.lower()))
    return [word for paragraph in found if paragraph for word in (*paragraph, "<eos>")]


def folder(path: Path) -> Corpus:
    """The three parts of ptb.train.txt and so on, or of train.txt and so on; words are between blanks.

    Raises:
        UserError: files are missing, empty or not text, or claim to be the Penn Treebank and have other counts.
    """
    names = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"), ("train.txt", "valid.txt", "test.txt")
    penn, own = ([path / name for name in three] for three in names)
    files = penn if any(file.is_file() for file in penn) else own
    if not any(file.is_file() for file in files):
        raise UserError(f"no text in {path}: {HOW}")
    train, valid, test = map(_read, files)
    corpus = _corpus("Penn Treebank" if files is penn else path.resolve().name, train, train, valid, test)
    if files is penn:
        _check(corpus, path)
    return corpus


def _read(file: Path) -> list[str]:
    if not file.is_file():
        raise UserError(f"{file} is missing: {HOW}")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error
    tokens = [word for line in lines for word in (*line.split(), "<eos>")]
    if not tokens:
        raise UserError(f"{file} is empty: {HOW}")
    return tokens


def _corpus(name: str, known: Sequence[str], *parts: Sequence[str]) -> Corpus:
    numbers = {word: i for i, word in enumerate(dict.fromkeys((*known, "<unk>")))}
    unknown = numbers["<unk>"]
    tokens = (torch.tensor([numbers.get(word, unknown) for word in part]) for part in parts)
    return Corpus(name, tuple(numbers), *tokens)


def _check(corpus: Corpus, path: Path) -> None:
    for part, expected in PENN_TREEBANK.items():
        if (found := len(getattr(corpus, part))) != expected:
            off = f"its {part} has {found} tokens, the Penn Treebank's has {expected}"
            raise UserError(f"{path}: {off}; get the preprocessed files whole, or name a text of your own train.txt")
