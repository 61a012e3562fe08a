"""The experiment on text, H.3, at a size."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from deep.training.batches import Batches
from deep.hyper.hyperparameters import Hyperparameters
from deep.language import LanguageModel, hyperparameters, train_loss, valid_loss
from deep.problems import Problem, Size
from deep.text import Corpus, Streams, folder, novel
from reference.command import UserError


def language_model(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.3: seven hyperparameters. The Penn Treebank, or `size.data` for the novel; a folder of one's own before both.

    Raises:
        UserError: no folder for an experiment on the Penn Treebank, or a text of fewer words than `size.rows`.
    """
    if data_home is None and size.data is None:
        raise UserError("the Penn Treebank is the LDC's, not shipped; give --data-home the folder of its three files")
    corpus = novel() if data_home is None else _read(data_home.resolve())
    if size.rows is not None and size.rows > len(corpus.train):
        raise UserError(f"the training text has {len(corpus.train)} words, not {size.rows}; choose fewer")
    model = LanguageModel(len(corpus.vocabulary), size.batch, max(1, round(650 * size.width))).to(device)
    declared = hyperparameters(model)
    if start is not None:
        declared = [replace(one, start=start) if one.high == declared[0].high else one for one in declared]
    hyper = Hyperparameters(declared)
    train, valid, test = (
        Batches(Streams(tokens, size.batch, size.stream), None, seed, shuffle=False, device=device)
        for tokens in (corpus.train[: size.rows], corpus.valid[: size.rows], corpus.test[: size.test_rows])
    )
    return Problem(model, hyper, train_loss(hyper), valid_loss, train, valid, test)


def identity(data_home: Path) -> str:
    """What a text of one's own is known by: 8 hex digits."""
    return _read(data_home.resolve()).digest


@lru_cache(maxsize=1)  # for its digest, then for its tokens, by run after run
def _read(place: Path) -> Corpus:
    return folder(place)
