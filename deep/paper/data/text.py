"""Text for H.3: the tokens of a folder's three files or of the novel that comes along, and batches of streams.

    name       shape     meaning
    tokens     (N,)      numbers of words in the vocabulary, in reading order
    Text       (n, T)    n streams, each going on where the batch before it ended; targets are the next words

The vocabulary is the training part's. Each line of a file ends with <eos>, as each paragraph of the novel does.
"""

import gzip
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.utils.data import Dataset

from deep.training.checkpoint import digest
from reference.console.command import UserError

PARTS = ("train", "valid", "test")
PENN_TREEBANK = {"train": 929589, "valid": 73760, "test": 82430, "vocabulary": 10000}
NOVEL = Path(__file__).with_name("persuasion.txt.gz")
HOW_TO_GET = (
    "the Penn Treebank is the LDC's and not shipped; give --data-home a folder with ptb.train.txt, ptb.valid.txt and "
    "ptb.test.txt, or with a train.txt, valid.txt and test.txt of your own, or leave it out for the novel (Persuasion)"
)


class Text(NamedTuple):
    """A model's inputs: tokens, and which streams begin with this batch."""

    tokens: Int64[Tensor, "n T"]
    first: Bool[Tensor, "n"]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three parts of a text over one vocabulary."""

    vocabulary: tuple[str, ...]
    train: Int64[Tensor, "_"]
    valid: Int64[Tensor, "_"]
    test: Int64[Tensor, "_"]

    @cached_property
    def digest(self) -> str:
        """8 hex digits of the vocabulary and the tokens."""
        return digest(self.vocabulary, (self.train, self.valid, self.test))


class Streams(Dataset[tuple[Text, Tensor]]):
    """Step i of n parallel streams as item i, a whole batch; read them in order. The last may be shorter.

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


@cache
def novel() -> Corpus:
    """Split Persuasion 80/10/10 by position; words that its training part has once, or not at all, are <unk>."""
    tokens = words(gzip.decompress(NOVEL.read_bytes()).decode())
    first, second = (len(tokens) * tenths // 10 for tenths in (8, 9))
    train, valid, test = tokens[:first], tokens[first:second], tokens[second:]
    return _corpus([word for word, count in Counter(train).items() if count > 1], train, valid, test)


def words(text: str) -> list[str]:
    """Split a text into lower-cased words and punctuation, with <eos> after each paragraph.

    Example:
        >>> words("Anne's heart--\\nit was _his_!\\n\\nChapter 2")
        ["anne's", 'heart', '--', 'it', 'was', 'his', '!', '<eos>', 'chapter', '2', '<eos>']
    """
    word = re.compile(r"[a-z0-9]+(?:'[a-z]+)*|--|[^\sa-z0-9_]")
    paragraphs = map(word.findall, re.split(r"\n\s*\n", text.lower()))
    return [token for paragraph in paragraphs if paragraph for token in (*paragraph, "<eos>")]


def folder(path: Path) -> Corpus:
    """Read ptb.train.txt and its two companions, or train.txt and its two; blanks separate words.

    Raises:
        UserError: files are missing, empty or not text, or claim to be the Penn Treebank and have other counts.
    """
    penn = any((path / f"ptb.{part}.txt").is_file() for part in PARTS)
    files = [path / f"{'ptb.' if penn else ''}{part}.txt" for part in PARTS]
    if not any(file.is_file() for file in files):
        raise UserError(f"no text in {path}: {HOW_TO_GET}")
    train, valid, test = map(_read, files)
    corpus = _corpus(train, train, valid, test)
    for part, count in PENN_TREEBANK.items() if penn else ():
        if (tokens := len(getattr(corpus, part))) != count:
            difference = f"its {part} has {tokens} tokens, the Penn Treebank's has {count}"
            raise UserError(f"{path}: {difference}; get the files whole, or name a text of your own train.txt")
    return corpus


def _read(file: Path) -> list[str]:
    """Split a file into words; only a line end ends a line, and a byte order mark is no part of the text."""
    if not file.is_file():
        raise UserError(f"{file} is missing: {HOW_TO_GET}")
    try:
        lines = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error
    tokens = [word for line in lines for word in (*line.split(), "<eos>")]
    if tokens == ["<eos>"]:
        raise UserError(f"{file} is empty: {HOW_TO_GET}")
    return tokens


def _corpus(vocabulary: Sequence[str], *parts: Sequence[str]) -> Corpus:
    numbers = {word: i for i, word in enumerate(dict.fromkeys((*vocabulary, "<unk>")))}
    tokens = (torch.tensor([numbers.get(word, numbers["<unk>"]) for word in part]) for part in parts)
    return Corpus(tuple(numbers), *tokens)
