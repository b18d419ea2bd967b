"""Sum of values over a footprint with a weight per position, without ever unfolding the values.

The sum runs over shifted views of the padded values. Together with its two adjoints it forms a family that is closed
under differentiation, so that R1 and path length cost what they must. All three are bilinear:

    out = aggregate(w, v),   dw = weight_adjoint(v, dout),   dv = value_adjoint(w, dout)

Value channel c is weighted by weight channel c mod M. On the CPU the samples go one by one: a sample's tensors stay
in the cache while all shifts pass over them. Low precision is summed in float32.
"""

# N batch, C = G M value channels, G channel groups, M weight channels, K offsets, H W spatial

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


@dataclass(frozen=True)
class Offsets:
    """Part of a footprint: some of its rows, in all its columns.

    Attributes:
        footprint: Rows and columns of the whole footprint.
        rows: The rows that take part.
    """

    footprint: int
    rows: range

    def __len__(self) -> int:
        return len(self.rows) * self.footprint

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((i, j) for i in self.rows for j in range(self.footprint))


def aggregate(weight_NKHW: Tensor, value_NCHW: Tensor, offsets: Offsets) -> Tensor:
    """Weighted sum over a footprint, differentiable any number of times (Eq. 6, third line).

    Args:
        weight_NKHW: [N, K M, H, W], all weight channels of the first offset, then those of the second and so on.
        value_NCHW: Padded values [N, C, H + footprint - 1, W + footprint - 1].
        offsets: The K offsets.

    Returns:
        [N, C, H, W] in the type of the values. Fastest with weights and values in channels_last.
    """
    result: Tensor = _Aggregate.apply(weight_NKHW, value_NCHW, offsets)
    return result


def _wide(dtype: torch.dtype) -> torch.dtype:
    """What sums are kept in."""
    return torch.promote_types(dtype, torch.float32)


def _views(
    weights_NKHW: Tensor, values_NCHW: Tensor, outputs_NCHW: Tensor, offsets: Offsets
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For every sample (or batch) and offset: weights [..., H, W, 1, M], shifted values and outputs [..., H, W, G, M].

    `values` stands for the padded tensor and `outputs` for the other one, whatever is computed from what.
    """
    width, (h, w) = weights_NKHW.shape[1] // len(offsets), outputs_NCHW.shape[2:]
    weights, values, outputs = (_split(x, width) for x in (weights_NKHW, values_NCHW, outputs_NCHW))
    # An exported graph is for any number of samples: it cannot loop over them.
    one_by_one = outputs.device.type == "cpu" and not torch.compiler.is_exporting()
    for n in range(len(outputs)) if one_by_one else [slice(None)]:
        for k, (i, j) in enumerate(offsets):
            yield weights[n, ..., k, None, :], values[n, ..., i : i + h, j : j + w, :, :], outputs[n]


def _split(x_NCHW: Tensor, width: int) -> Tensor:
    """[N, G M, H, W] -> view [N, H, W, G, M] with M = width."""
    n, _, h, w = x_NCHW.shape
    return x_NCHW.permute(0, 2, 3, 1).view(n, h, w, -1, width)


def _blank(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Uninitialised channels_last tensor of the type that sums are kept in."""
    shape, dtype = (like.shape[0], channels, height, width), _wide(like.dtype)
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)


class _Aggregate(Function):
    """out[p] = sum_k w[p, k] v[p + k]."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, value: Tensor, offsets: Offsets) -> Tensor:
        ctx.save_for_backward(weight, value)
        ctx.offsets = offsets
        out = _blank(value, value.shape[1], *weight.shape[2:]).zero_()
        for weight_k, value_k, out_k in _views(weight, value.to(out.dtype), out, offsets):
            out_k.addcmul_(weight_k.to(out.dtype), value_k)
        return out.to(value.dtype)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> Any:
        weight, value = ctx.saved_tensors
        dweight = _WeightAdjoint.apply(value, dout, weight, ctx.offsets) if ctx.needs_input_grad[0] else None
        dvalue = _ValueAdjoint.apply(weight, dout, ctx.offsets) if ctx.needs_input_grad[1] else None
        return dweight, dvalue, None


class _WeightAdjoint(Function):
    """dw[p, k] = sum over groups of v[p + k] dout[p]; `weight` lends its shape only."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, dout: Tensor, weight: Tensor, offsets: Offsets) -> Tensor:
        ctx.save_for_backward(value, dout)
        ctx.offsets = offsets
        dweight = torch.empty_like(weight, memory_format=torch.channels_last)
        values, douts = value.to(_wide(value.dtype)), dout.to(_wide(dout.dtype))
        product: Tensor | None = None
        for dweight_k, value_k, dout_k in _views(dweight, values, douts, offsets):
            product = torch.mul(value_k, dout_k, out=product)
            dweight_k.copy_(product.sum(dim=-2, keepdim=True))
        return dweight

    @staticmethod
    def backward(ctx: Any, ddweight: Tensor) -> Any:
        value, dout = ctx.saved_tensors
        dvalue = _ValueAdjoint.apply(ddweight, dout, ctx.offsets) if ctx.needs_input_grad[0] else None
        ddout = _Aggregate.apply(ddweight, value, ctx.offsets) if ctx.needs_input_grad[1] else None
        return dvalue, ddout, None, None


class _ValueAdjoint(Function):
    """dv[p + k] = sum_k w[p, k] dout[p]."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dout: Tensor, offsets: Offsets) -> Tensor:
        ctx.save_for_backward(weight, dout)
        ctx.offsets = offsets
        border = offsets.footprint - 1
        dvalue = _blank(dout, dout.shape[1], dout.shape[2] + border, dout.shape[3] + border).zero_()
        for weight_k, dvalue_k, dout_k in _views(weight, dvalue, dout.to(dvalue.dtype), offsets):
            dvalue_k.addcmul_(weight_k.to(dvalue.dtype), dout_k)
        return dvalue.to(dout.dtype)

    @staticmethod
    def backward(ctx: Any, ddvalue: Tensor) -> Any:
        weight, dout = ctx.saved_tensors
        dweight = _WeightAdjoint.apply(ddvalue, dout, weight, ctx.offsets) if ctx.needs_input_grad[0] else None
        ddout = _Aggregate.apply(weight, ddvalue, ctx.offsets) if ctx.needs_input_grad[1] else None
        return dweight, ddout, None
