"""Operations that hide weights or a drop rate, written out of operations with rules."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deep.responses.recurrent import RECURRENT


@cache
def inside(function: Callable[..., Any]) -> Callable[..., Any]:
    """One of PyTorch's functions in Python without its own look for overrides, which would come back to the caller."""
    assert isinstance(function, FunctionType)
    names = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    without = {**function.__globals__, **dict.fromkeys(names, lambda *_: False)}
    copy = FunctionType(function.__code__, without, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q kᵀ/√d + mask) v, as F.scaled_dot_product_attention; a query without any key gives 0."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
        without = (scores == -math.inf).all(-1, keepdim=True)
        weights = scores.masked_fill(without, 0).softmax(-1).masked_fill(without, 0)
    else:
        weights = scores.softmax(-1)
    return (F.dropout(weights, dropout_p) if dropout_p else weights) @ value


WRITTEN_OUT: dict[Any, Callable[..., Any]] = {
    F.multi_head_attention_forward: inside(F.multi_head_attention_forward),
    F.scaled_dot_product_attention: attention,
    **RECURRENT,
}


def hides(operation: Any, args: Sequence[Any]) -> bool:
    """Whether a call is one that can be written out; of recurrent layers not one of packed sequences."""
    return operation in WRITTEN_OUT and not (operation in RECURRENT and isinstance(args[3], (list, tuple)))
