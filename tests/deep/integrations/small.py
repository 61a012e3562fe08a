"""Tiny models made from a configuration, and dictionaries of tokens for them."""

from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

PACKAGES = ("transformers", "lightning", "accelerate", "peft", "torch")

foreign = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    *(pytest.mark.filterwarnings(f"ignore:::{package}") for package in PACKAGES),
]
"""Warnings of the packages about themselves are not ours to mend."""

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
    "num_labels": 3,
}


class Tokens(Dataset):
    """Sequences of seven tokens in three classes."""

    def __init__(self, n: int, seed: int) -> None:
        self.tokens = torch.randint(0, 20, (n, 7), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int):
        tokens = self.tokens[index]
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": int(tokens.sum() % 3)}


def bert(seed: int = 0):
    """A classifier of three classes."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    return BertForSequenceClassification(BertConfig(**SMALL))
