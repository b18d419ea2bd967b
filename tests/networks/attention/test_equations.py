"""Every module against its equations, written position by position or with einsum."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.networks.attention import DFN, SAGAN, SAN, VT
from dualgan.networks.attention.projection import Projection
from dualgan.networks.layers import EqualizedLinear
from tests.networks.attention.family import FAMILY, feature_map, make, switch_on

styled = pytest.mark.parametrize("with_style", [False, True], ids=["plain", "styled"])


def reflected(i: int, size: int) -> int:
    """Index i of a reflected axis: -1 is 1, size is size - 2."""
    return size - 1 - abs(size - 1 - abs(i))


def project(projection: Projection, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
    """1x1 convolution with a weight per sample, as StyleGAN2's Eq. 1 and 3 write it."""
    weight_OC = projection.weight[:, :, 0, 0]
    if style_NC is None:
        weight_NOC = (weight_OC / math.sqrt(weight_OC.shape[1])).expand(len(x_NCHW), -1, -1)
    else:
        weight_NOC = weight_OC * style_NC[:, None]
        weight_NOC = weight_NOC / (weight_NOC.square().sum(dim=2, keepdim=True) + 1e-8).sqrt()
    y = torch.einsum("noc,nchw->nohw", weight_NOC, x_NCHW)
    if projection.bias is not None:
        y = y + projection.bias[:, None, None]
    return F.leaky_relu(y, 0.2) * math.sqrt(2) if projection.activate else y


def style(with_style: bool) -> Tensor | None:
    return feature_map(2, 8, 1, 1).flatten(1) + 1 if with_style else None


def loop_san(san: SAN, T: Tensor, style_NC: Tensor | None) -> Tensor:
    """Eq. 4 to 7 for one position after the other."""
    K, Q, V = (project(p, T, style_NC) for p in (san.key, san.query, san.value))
    if style_NC is None and san.value.bias is not None:
        torch.testing.assert_close(san.value(T) * san.footprint, V)
    s, m, (n, c, h, w) = san.footprint, T.shape[1] // 4, T.shape
    first = torch.cat([san.weights.key_weight.flatten(1), san.weights.query_weight.flatten(1)], dim=1)
    second = san.weights.weight[:, :, 0, 0] / math.sqrt(m)
    out = T.clone()
    for i in range(h):
        for j in range(w):
            # Eq. 4; an odd footprint is centred
            rows = [reflected(i + d, h) for d in range(-(s // 2), s - s // 2)]
            columns = [reflected(j + d, w) for d in range(-(s // 2), s - s // 2)]
            p = torch.cat([K[:, :, rows][:, :, :, columns].flatten(1), Q[:, :, i, j]], dim=1)
            # Eq. 5, with equalized learning rate
            hidden = p @ first.T / math.sqrt(first.shape[1]) + san.weights.hidden_bias
            weight = F.leaky_relu(hidden, 0.2) * math.sqrt(2) @ second.T + san.weights.bias
            # Eq. 6; value channel c takes weight channel c mod m
            weight_NMSS = weight.view(n, s, s, m).permute(0, 3, 1, 2)
            value_NCSS = V[:, :, rows][:, :, :, columns]
            chosen = weight_NMSS[:, [k % m for k in range(c)]]
            # Eq. 7
            out[:, :, i, j] += (chosen * value_NCSS).sum(dim=(2, 3)) / s
    return out


@styled
@pytest.mark.parametrize("footprint", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (4, 4)])
def test_san_is_the_loop_over_positions(footprint: int, with_style: bool, height: int, width: int) -> None:
    san = SAN(8, footprint).double()
    switch_on(san)
    T, s = feature_map(2, 8, height, width), style(with_style)
    torch.testing.assert_close(san(T, s), loop_san(san, T, s))


@pytest.mark.parametrize("footprint", [3, 4])
def test_san_map_is_the_norm_of_the_weights(footprint: int) -> None:
    san = SAN(8, footprint).double()
    switch_on(san)
    T = feature_map(2, 8, 5, 6)
    hidden = san.hidden(T, None)
    weight = F.conv2d(hidden, san.weights.weight / math.sqrt(2), san.weights.bias)
    weight_NSSMHW = weight.view(2, footprint, footprint, 2, 5, 6)
    maps = san.attention_map(T, [(4, 5), (0, 2)])
    torch.testing.assert_close(maps[:, 0], weight_NSSMHW[..., 4, 5].square().sum(dim=3).sqrt())
    torch.testing.assert_close(maps[:, 1], weight_NSSMHW[..., 0, 2].square().sum(dim=3).sqrt())


@pytest.mark.parametrize("footprint", [3, 5])
def test_san_commutes_with_translation_away_from_the_border(footprint: int) -> None:
    san = SAN(8, footprint).double()
    x = feature_map(1, 8, 16, 16)
    border = 2 * (footprint // 2) + 2
    inner = slice(border, -border)
    moved = san(x.roll((1, 2), dims=(2, 3))).roll((-1, -2), dims=(2, 3))
    torch.testing.assert_close(moved[:, :, inner, inner], san(x)[:, :, inner, inner])


@pytest.mark.parametrize("name", ["VT", "SAGAN", "DFN"])
def test_global_modules_follow_a_translation_by_whole_pooling_windows(name: str) -> None:
    module, x = make(name), feature_map(1, 8, 8, 8)
    x[:, :, [0, 1, 2, 5, 6, 7]] = 0  # a convolution's zero padding then meets zeros
    moved = module(x.roll(2, dims=2)).roll(-2, dims=2)
    expected = module(x)
    if name == "DFN":
        moved, expected = moved[:, :, 2:6], expected[:, :, 2:6]
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("footprint", [3, 4])
def test_san_looks_no_further_than_its_footprint(footprint: int) -> None:
    san = SAN(8, footprint).double()
    x = feature_map(1, 8, 9, 9).requires_grad_()
    (gradient,) = torch.autograd.grad(san(x)[0, :, 4, 4].sum(), x)
    seen = gradient[0].abs().sum(dim=0) > 0
    expected = torch.zeros(9, 9, dtype=torch.bool)
    first, last = 4 - footprint // 2, 4 + (footprint - 1) // 2
    expected[first : last + 1, first : last + 1] = True
    assert torch.equal(seen, expected)


@styled
def test_sagan_is_its_einsum_form(with_style: bool) -> None:
    sagan = SAGAN(8).double()
    switch_on(sagan)
    x, s = feature_map(2, 8, 4, 6), style(with_style)
    theta, phi, g = (project(p, x, s) for p in (sagan.theta, sagan.phi, sagan.g))
    phi, g = F.max_pool2d(phi, 2), F.max_pool2d(g, 2)
    beta = torch.einsum("ndhw,ndij->nhwij", theta, phi).flatten(3).softmax(dim=3)
    read = torch.einsum("nhwk,nvk->nvhw", beta, g.flatten(2))
    out = torch.einsum("cv,nvhw->nchw", sagan.out.weight[:, :, 0, 0] / 2, read)
    torch.testing.assert_close(sagan(x, s), sagan.gamma * out + x)
    torch.testing.assert_close(sagan.attention_map(x, [(3, 1)], s)[:, 0], beta[:, 3, 1].view(2, 2, 3))


@styled
def test_dfn_is_a_convolution_per_sample(with_style: bool) -> None:
    dfn = DFN(8, bottleneck=3).double()
    switch_on(dfn)
    x, s = feature_map(2, 8, 5, 4), style(with_style)
    code = project(dfn.squeeze, x.mean(dim=(2, 3), keepdim=True), s).flatten(1)
    for n in range(2):
        weight = torch.einsum("b,boikl->oikl", code[n], dfn.weight.view(-1, 8, 8, 3, 3))
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(x[n : n + 1], weight, padding=1) + x[n : n + 1]
        torch.testing.assert_close(dfn(x, s)[n : n + 1], expected)


def dense(layer: EqualizedLinear, token_NLE: Tensor) -> Tensor:
    """Dense layer with equalized learning rate."""
    return torch.einsum("oe,nle->nlo", layer.weight, token_NLE) / math.sqrt(token_NLE.shape[2]) + layer.bias


@styled
def test_vt_is_its_einsum_form(with_style: bool) -> None:
    vt = VT(8, tokens=3, token_width=4).double()
    switch_on(vt)
    x, s = feature_map(2, 8, 4, 6), style(with_style)
    maps = project(vt.tokenizer, x, s).flatten(2).softmax(dim=2)
    tokens = torch.einsum("nlp,nep->nle", maps, project(vt.value, x, s).flatten(2))
    layers = vt.transformer
    key, query = dense(layers.key, tokens), dense(layers.query, tokens)
    tokens = tokens + torch.einsum("nle,nme->nlm", key, query).div(2).softmax(dim=2) @ tokens
    hidden = F.leaky_relu(dense(layers.hidden, tokens), 0.2) * math.sqrt(2)
    tokens = tokens + dense(layers.out, hidden)
    read = torch.einsum("nep,nle->npl", project(vt.query, x, s).flatten(2), dense(vt.key, tokens)).div(2).softmax(dim=2)
    expected = torch.einsum("npl,nlc->ncp", read, dense(vt.out, tokens)).view_as(x) + x
    torch.testing.assert_close(vt(x, s), expected)
    torch.testing.assert_close(vt.attention_map(x, [(1, 2)], s)[:, 0].flatten(1), (read @ maps)[:, 8])


def test_the_family_covers_every_self_attention() -> None:
    assert {type(make(name)) for name in FAMILY} == {SAN, SAGAN, DFN, VT}
