"""Weight gradients of grouped convolutions in bfloat16 on CPUs, some groups at a time.

oneDNN computes them for all groups at once ever slower the more there are: on maps of 64x64 pixels with 48 groups of 16
channels at a sixth of the speed that it has for four of them. No group has to do with any other, so that parts of the
channels, copied, give the same numbers.
"""

import torch
from torch import Tensor

CHANNELS_AT_A_TIME = 64


def are_many(weight: Tensor, groups: int) -> bool:
    """Whether the groups of a weight [D, C / groups, k, k] are more than are taken at a time."""
    return groups > _groups_at_a_time(weight, groups)


def weight_adjoint(x: Tensor, dy: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    """x [N, C, H, W], dy [N, D, h, w] -> gradient of the weight [D, C / groups, k, k], which lends its shape only."""
    count = _groups_at_a_time(weight, groups)
    ins, outs = count * weight.shape[1], count * weight.shape[0] // groups
    parts = zip(torch.split(x, ins, dim=1), torch.split(dy, outs, dim=1), torch.split(weight, outs), strict=True)
    return torch.cat([_of_some(*part, stride, padding) for part in parts])


def _of_some(x: Tensor, dy: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    own_x, own_dy = (maps.contiguous(memory_format=torch.channels_last) for maps in (x, dy))
    groups, wanted = x.shape[1] // weight.shape[1], [False, True, False]
    _, dw, _ = torch.ops.aten.convolution_backward(
        own_dy, own_x, weight, [len(weight)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, wanted
    )
    assert isinstance(dw, Tensor)
    return dw


def _groups_at_a_time(weight: Tensor, groups: int) -> int:
    return max(CHANNELS_AT_A_TIME // max(weight.shape[1], weight.shape[0] // groups), 1)
