"""GRUs over packed windows, in fewer and larger operations than PyTorch's own on a processor.

PyTorch records some ten operations for every step and adds up the gradient of the weights step by
step. A step here is a product and six operations on its way forward, and a product and three on its
way back, which are all that depends on the step before it; the rest is done for all steps at once.
Forward, the numbers are PyTorch's; gradients differ from its own by rounding.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout, embedding
from torch.nn.utils.rnn import PackedSequence

from conversation_emotion.datasets.windows import PADDING


class Packing(NamedTuple):
    """Where the N chosen utterances of B windows lie: step by step, the longest window first.

    Attributes:
        rows: Place of each among the B U utterances of all windows: (N,).
        sizes: How many windows have each step; none has more than the step before it.
        places: Number of each chosen utterance, in the order of its window, `PADDING` behind the
            last: (B, V), where V is the most that a window has, at least 1.
    """

    rows: Tensor
    sizes: Sequence[int]
    places: Tensor


def pack(chosen: Tensor) -> Packing:
    """Lays out the chosen utterances of each window: (B, U) -> `Packing`."""
    marked = chosen.cpu().numpy()  # a dozen operations that each take NumPy a tenth of the time
    counts = marked.sum(axis=1)
    window, column = marked.nonzero()
    step = np.arange(len(window)) - (counts.cumsum() - counts)[window]
    order = np.lexsort((window, -counts[window], step))
    places = np.full((len(marked), max(1, counts.max(initial=0))), PADDING)
    places[window[order], step[order]] = np.arange(len(order))
    rows = (window * marked.shape[1] + column)[order]
    return Packing(
        torch.from_numpy(rows).to(chosen.device),
        np.bincount(step).tolist(),
        torch.from_numpy(places).to(chosen.device),
    )


def read_packed(gru: nn.GRU, states: Tensor, packing: Packing) -> Tensor:
    """Reads what is packed, from the first step on: (B, U, D) -> (N, H)."""
    if not packing.sizes:
        return states.new_zeros(0, gru.hidden_size)
    # A lookup of vectors: its gradient adds up whole rows, that of an index one number at a time.
    read = embedding(packing.rows, states.flatten(0, 1))
    if states.device.type != "cpu":
        return gru(PackedSequence(read, torch.tensor(packing.sizes)))[0].data
    for layer in range(gru.num_layers):
        if layer and gru.dropout:
            read = dropout(read, gru.dropout, gru.training)
        weights = (getattr(gru, f"{name}_l{layer}") for name in _NAMES)
        found = _Layer.apply(read, packing.sizes, *weights)
        assert isinstance(found, Tensor)
        read = found
    return read


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Layer(torch.autograd.Function):
    """One layer from states of zero; gates come in PyTorch's order: reset, update, new."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        sizes: Sequence[int],
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
    ) -> Tensor:
        """Reads packed inputs: (N, D), steps, (3 H, D), (3 H, H), (3 H,), (3 H,) -> (N, H)."""
        size = weight_hh.size(1)
        given = torch.addmm(bias_ih, inputs, weight_ih.t()).split(list(sizes))
        gates = inputs.new_empty(len(inputs), 3 * size)  # reset, update, and of new what is reset
        states, new = (inputs.new_empty(len(inputs), size) for _ in range(2))
        before = inputs.new_zeros(sizes[0], size)
        gates[: sizes[0]] = bias_hh  # what a product with zero gives
        parts = (one.split(list(sizes)) for one in (gates, new, states))
        for number, (one, gate, fresh, state) in enumerate(zip(given, *parts, strict=True)):
            before = before[: len(one)]
            if number:
                torch.addmm(bias_hh, before, weight_hh.t(), out=gate)
            chances = gate[:, : 2 * size].add_(one[:, : 2 * size]).sigmoid_()
            torch.mul(gate[:, 2 * size :], chances[:, :size], out=fresh)
            fresh.add_(one[:, 2 * size :]).tanh_()
            torch.sub(before, fresh, out=state).mul_(chances[:, size:]).add_(fresh)
            before = state
        ctx.sizes = sizes
        ctx.save_for_backward(inputs, weight_ih, weight_hh, gates, new, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the gradients of inputs, weights and biases."""
        inputs, weight_ih, weight_hh, gates, new, states = ctx.saved_tensors
        reset, update, product = gates.chunk(3, dim=1)
        before = _shift(states, ctx.sizes)
        # By what a gradient of the state is multiplied on its way to the input of each gate.
        slopes = torch.empty_like(gates)
        by_reset, by_update, by_product = slopes.chunk(3, dim=1)
        by_new = (1 - update) * (1 - new * new)
        torch.mul(by_new, reset, out=by_product)
        torch.mul(by_product, product * (1 - reset), out=by_reset)
        torch.mul((before - new) * update, 1 - update, out=by_update)
        totals, inner = _go_back(gradients[0], slopes, update, weight_hh, ctx.sizes)
        outer = torch.cat([inner[:, : 2 * states.size(1)], totals * by_new], dim=1)
        return (
            outer @ weight_ih if ctx.needs_input_grad[0] else None,
            None,
            outer.t() @ inputs,
            inner[ctx.sizes[0] :].t() @ before[ctx.sizes[0] :],  # the first are zero
            outer.sum(dim=0),
            inner.sum(dim=0),
        )


def _shift(states: Tensor, sizes: Sequence[int]) -> Tensor:
    """Returns the state before each step, zero before the first: (N, H) -> (N, H)."""
    before, start = [states.new_zeros(sizes[0], states.size(1))], 0
    for size, following in pairwise(sizes):
        before.append(states[start : start + following])
        start += size
    return torch.cat(before)


def _go_back(
    gradient: Tensor, slopes: Tensor, update: Tensor, weight: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of all states and of what a product with them gave.

    The gradient (N, H) is that which each state has from outside; slopes are (N, 3 H), update gates
    (N, H), the weight (3 H, H).
    """
    totals, inner = gradient.clone(), torch.empty_like(slopes)
    end = len(gradient)
    for number in range(len(sizes) - 1, -1, -1):
        start = end - sizes[number]
        total, product = totals[start:end], inner[start:end]
        shape = len(total), 3, -1
        torch.mul(total.unsqueeze(1), slopes[start:end].view(shape), out=product.view(shape))
        if number:
            earlier = totals[start - sizes[number - 1] :][: len(total)]
            earlier.addcmul_(total, update[start:end]).addmm_(product, weight)
        end = start
    return totals, inner
