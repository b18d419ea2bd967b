from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from dualgan.losses import R1
from dualgan.networks import StyleGAN2Discriminator
from dualgan.networks.convolution import SAME, Geometry, convolve
from dualgan.networks.cpu import columns, winograd
from dualgan.networks.cpu import plan as plans
from dualgan.networks.cpu.algorithms import ALGORITHMS, DIRECT, Call, alternatives, direct
from dualgan.networks.cpu.plan import Plan, computed_by

W, BOTH, C, NO = ["winograd"], ["columns", "winograd"], ["columns"], list[str]()
# name -> geometry, shape of x, shape of the weight, what else than PyTorch can compute y, dx and dw
CASES = {
    "square": (SAME, (4, 96, 16, 16), (96, 96, 3, 3), [W, W, BOTH]),
    "widening": (SAME, (2, 96, 32, 16), (128, 96, 3, 3), [W, W, BOTH]),
    "medium": (SAME, (4, 64, 16, 16), (64, 64, 3, 3), [W, W, BOTH]),
    "medium, large map": (SAME, (1, 64, 64, 64), (64, 64, 3, 3), [W, W, BOTH]),
    "narrow, large map": (SAME, (1, 32, 64, 64), (32, 32, 3, 3), [W, W, BOTH]),
    "narrow, large map, strided": (Geometry(stride=2), (1, 32, 65, 65), (64, 32, 3, 3), [NO, NO, C]),
    "small map": (SAME, (16, 96, 4, 4), (96, 96, 3, 3), [NO, NO, C]),
    "little to do": (SAME, (4, 64, 8, 8), (64, 64, 3, 3), [NO, NO, NO]),
    "uneven map": (SAME, (8, 64, 6, 10), (64, 64, 3, 3), [NO, NO, C]),
    "strided": (Geometry(stride=2), (8, 64, 17, 17), (96, 64, 3, 3), [NO, NO, C]),
    "transposed": (Geometry(stride=2, transposed=True), (8, 64, 8, 8), (64, 96, 3, 3), [NO, NO, C]),
}
every_case = pytest.mark.parametrize("case", CASES)


def tensors(case: str, layout: torch.memory_format = torch.channels_last) -> tuple[Tensor, Tensor, Geometry]:
    geometry, x_shape, weight_shape, _ = CASES[case]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(x_shape, generator=generator).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(weight_shape, generator=generator).contiguous(memory_format=layout).requires_grad_()
    return x, weight, geometry


@contextmanager
def without_pytorch() -> Iterator[None]:
    """The last alternative to PyTorch's operators computes whatever has one."""
    with mock.patch.object(plans, "fastest", side_effect=lambda runs: list(runs)[-1]), computed_by(Plan()):
        yield


def pytorch_convolve(x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None) -> Tensor:
    operator = F.conv_transpose2d if geometry.transposed else F.conv2d
    return operator(x, weight, bias, stride=geometry.stride, padding=geometry.padding)


def difference(ours: Tensor, exact: Tensor) -> float:
    return float(((ours.double() - exact).norm() / exact.norm()).detach())


@every_case
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients_agree_with_float64(case: str, layout: torch.memory_format) -> None:
    x, weight, geometry = tensors(case, layout)
    bias = torch.randn(weight.shape[1 if geometry.transposed else 0], requires_grad=True)
    exact = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    y64 = pytorch_convolve(exact[0], exact[1], geometry, exact[2])
    dy = torch.randn(y64.shape)
    with without_pytorch():
        y = convolve(x, weight, geometry, bias)
        ours = torch.autograd.grad(y, (x, weight, bias), dy)
    theirs = torch.autograd.grad(y64, exact, dy.double())
    assert difference(y, y64) < 1e-5
    for gradient, gradient64 in zip(ours, theirs, strict=True):
        assert difference(gradient, gradient64) < 1e-5


@every_case
def test_second_derivatives_agree_with_float64(case: str) -> None:
    x, weight, geometry = tensors(case)

    def penalty(x: Tensor, weight: Tensor, run: Callable[..., Tensor]) -> Tensor:
        (gradient,) = torch.autograd.grad(run(x, weight, geometry).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    exact = [value.detach().double().requires_grad_() for value in (x, weight)]
    with without_pytorch():
        ours = torch.autograd.grad(penalty(x, weight, convolve), (x, weight))
    theirs = torch.autograd.grad(penalty(exact[0], exact[1], pytorch_convolve), exact)
    for gradient, gradient64 in zip(ours, theirs, strict=True):
        assert difference(gradient, gradient64) < 1e-4


def calls_of(case: str) -> list[Call]:
    """The three directions of a convolution."""
    x, weight, geometry = tensors(case)
    x, weight = x.detach(), weight.detach()
    dy = torch.ones_like(pytorch_convolve(x, weight, geometry))
    return [
        Call("forward", x, weight, None, geometry),
        Call("input", x, weight, dy, geometry),
        Call("weight", x, weight, dy, geometry),
    ]


@every_case
def test_every_algorithm_computes_what_pytorch_computes(case: str) -> None:
    calls = calls_of(case)
    assert [sorted(alternatives(call)) for call in calls] == CASES[case][3]
    for call in calls:
        for name in alternatives(call):
            assert difference(ALGORITHMS[name](call), direct(call).double()) < 1e-5


@every_case
def test_the_plan_decides_who_computes(case: str) -> None:
    x, weight, geometry = tensors(case)
    assert not timed_in(Plan(), lambda: torch.autograd.backward(convolve(x, weight, geometry).sum()), None)
    for wanted in ("winograd", "columns", DIRECT):
        plan = Plan()
        timed = timed_in(plan, lambda: torch.autograd.backward(convolve(x, weight, geometry).sum()), wanted)
        own = [wanted if wanted in names else DIRECT for names in CASES[case][3] if names]
        assert sorted(plan.chosen.values()) == sorted(own)
        assert timed == len(own)


def timed_in(plan: Plan, run: Callable[[], None], wanted: str | None) -> int:
    """How many convolutions were timed, of which one algorithm wins if it takes part; without one no plan is used."""

    def choose(runs: Mapping[str, Callable[[], object]]) -> str:
        return wanted if wanted is not None and wanted in runs else DIRECT

    with mock.patch.object(plans, "fastest", side_effect=choose) as timing:
        if wanted is None:
            run()
        else:
            with computed_by(plan):
                run()
                before = timing.call_count
                run()
                assert timing.call_count == before  # never twice
    return timing.call_count


@pytest.mark.parametrize("what", ["double", "narrow", "meta", "grouped"])
def test_everything_else_is_left_to_pytorch(what: str) -> None:
    channels = 16 if what == "narrow" else 96
    dtype = torch.float64 if what == "double" else torch.float32
    groups = 2 if what == "grouped" else 1
    device = "meta" if what == "meta" else "cpu"
    x = torch.randn(4, channels, 16, 16, dtype=dtype, device=device)
    weight = torch.randn(channels, channels // groups, 3, 3, dtype=dtype, device=device, requires_grad=True)
    geometry = Geometry(padding=1, groups=groups)
    plan = Plan()
    assert timed_in(plan, lambda: torch.autograd.backward(convolve(x, weight, geometry).sum()), "columns") == 0
    assert weight.grad is not None
    assert plan.chosen == {}


def test_many_images_are_taken_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, geometry = tensors("strided")
    dy = torch.randn_like(pytorch_convolve(x, weight, geometry))
    whole = columns.weight_adjoint(x, dy, geometry.stride, geometry.padding)
    monkeypatch.setattr(columns, "MAX_ENTRIES", 1)
    for least, images in ((1, 1), (64, 1), (65, 2), (128, 2), (129, 3)):  # of 8x8 pixels
        monkeypatch.setattr(columns, "MIN_PIXELS", least)
        with mock.patch.object(torch, "split", side_effect=torch.split) as split:
            parts = columns.weight_adjoint(x, dy, geometry.stride, geometry.padding)
        assert [call.args[1] for call in split.call_args_list] == [images, images]
        assert difference(parts, whole.double()) < 1e-6


@pytest.mark.parametrize("height", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("shape", [(3, 16, 16), (4, 12, 4), (3, 4, 20), (1, 4, 8), (1, 8, 4), (1, 12, 8)])
def test_tiles_are_taken_in_bands_of_any_height(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], height: int
) -> None:
    n, h, w = shape
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(n, channels, h, w, generator=generator) for channels in (5, 3))
    weight = torch.randn(3, 5, 3, 3, generator=generator)
    rows = n * h // 4
    bands = [range(first, min(first + height, rows)) for first in range(0, rows, height)]
    monkeypatch.setattr(winograd, "_bands", lambda x, d: bands)
    ours = winograd.convolution(x, weight), winograd.input_adjoint(dy, weight), winograd.weight_adjoint(x, dy)
    exact = x.double(), weight.double(), dy.double()
    expected = [
        direct(Call("forward", exact[0], exact[1], None, SAME)),
        direct(Call("input", *exact, SAME)),
        direct(Call("weight", *exact, SAME)),
    ]
    for one, other in zip(ours, expected, strict=True):
        assert difference(one, other) < 1e-5


def test_maps_in_pytorch_s_layout_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_bands", lambda x, d: [range(0, 3), range(3, 4)])
    x, weight = torch.randn(1, 8, 16, 16), torch.randn(8, 8, 3, 3)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        winograd.convolution(x, weight)
        winograd.weight_adjoint(x, x.contiguous(memory_format=torch.channels_last))
    copies = [
        event for event in profiler.events() if event.name == "aten::copy_" and event.input_shapes[0] == [*x.shape]
    ]
    assert len(copies) == 3  # of x in both, and the test's own


def test_an_image_with_numbers_that_are_none_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_bands", lambda x, d: [range(0, 3), range(3, 6)])
    x, weight = torch.randn(3, 4, 8, 8), torch.randn(4, 4, 3, 3)
    alone = winograd.convolution(x, weight)
    x[1] = torch.nan
    beside = winograd.convolution(x, weight)
    assert torch.equal(beside[::2], alone[::2])
    assert beside[1].isnan().all()


def test_bands_are_low_and_higher_on_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.empty(8, 64, 64, 64)
    wide = torch.empty(32, 512, 4, 64)
    heights = []
    for threads in (1, 2, 4, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        bands = winograd._bands(x, 64)
        assert [row for band in bands for row in band] == list(range(128))
        heights.append((len(bands[0]), len(winograd._bands(wide, 512)[0])))
    assert heights == [(7, 8), (43, 8), (64, 11), (64, 11)]


@pytest.mark.parametrize("slope", [None, 0.2])
@pytest.mark.parametrize("name", ["winograd", "swapping", "spreading"])
def test_bias_and_activation_are_those_of_two_steps_more(name: str, slope: float | None) -> None:
    x, weight, geometry = tensors("square" if name == "winograd" else "transposed")
    x, weight = x.detach(), weight.detach()
    if name == "spreading":
        x, weight = torch.randn(2, 64, 16, 16), torch.randn(64, 1, 3, 3)
        geometry = Geometry(stride=2, transposed=True, groups=64)
    if name != "winograd":
        x, weight = x.bfloat16(), weight.bfloat16()
    plain = Call("forward", x, weight, None, geometry)
    assert name in alternatives(plain)
    y = ALGORITHMS[name](plain)
    bias = torch.randn(y.shape[1], dtype=y.dtype)
    expected = y + bias[:, None, None]
    finished = ALGORITHMS[name](plain._replace(bias=bias, slope=slope))
    assert torch.equal(finished, expected if slope is None else F.leaky_relu(expected, slope))


def test_a_wide_discriminator_scores_and_learns_the_same() -> None:
    torch.manual_seed(0)
    D = StyleGAN2Discriminator(32, channel_base=4096, channel_max=96)
    images = torch.rand(4, 3, 32, 32) * 2 - 1

    def gradients() -> list[Tensor]:
        D.zero_grad()
        torch.autograd.backward(D(images).sum() + R1(1.0)(D, images, None))
        return [D(images).detach(), *(p.grad.clone() for p in D.parameters() if p.grad is not None)]

    with without_pytorch():
        fast = gradients()
    direct = gradients()
    # A rounding error that crosses a leaky ReLU's kink moves a penalty's gradient by more than its own size.
    assert all((a - b).norm() <= 1e-3 * b.norm() + 1e-6 for a, b in zip(fast, direct, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(fast, direct, strict=True))


def test_weight_gradients_of_many_groups_in_bfloat16_are_those_of_all_at_once() -> None:
    torch.manual_seed(0)
    for groups, inside, outside in ((10, 16, 16), (3, 48, 16), (2, 65, 65)):
        geometry = Geometry(padding=1, groups=groups)
        x, dy = torch.randn(1, groups * inside, 64, 64), torch.randn(1, groups * outside, 64, 64)
        weight = torch.randn(groups * outside, inside, 3, 3).to(torch.bfloat16)
        x, dy = (maps.to(torch.bfloat16).contiguous(memory_format=torch.channels_last) for maps in (x, dy))
        call = Call("weight", x, weight, dy, geometry)
        assert alternatives(call) == ["groups"]
        exact = direct(Call("weight", x.float(), weight.float(), dy.float(), geometry))
        found = ALGORITHMS["groups"](call)
        torch.testing.assert_close(found, exact.to(torch.bfloat16), rtol=0.02, atol=0.5)  # of values around 64
        assert found.std() > 50
    assert alternatives(Call("weight", x[:, :64], weight[:64], dy[:, :64], Geometry(padding=1))) == []


FILTERS = {
    "down": (Geometry(stride=2, padding=1, groups=48), (2, 48, 32, 32)),
    "down, uneven": (Geometry(stride=2, padding=2, groups=48), (2, 48, 33, 31)),
    "same": (Geometry(padding=2, groups=48), (2, 48, 32, 32)),
    "by three": (Geometry(stride=3, groups=48), (2, 48, 32, 32)),
    "up": (Geometry(stride=2, padding=1, groups=48, transposed=True), (2, 48, 16, 16)),
    "wide kernel up": (Geometry(stride=2, groups=48, transposed=True), (2, 48, 16, 17)),
}


@pytest.mark.parametrize("case", FILTERS)
def test_adjoints_of_filters_in_bfloat16_are_filters_of_spread_pixels(case: str) -> None:
    torch.manual_seed(0)
    geometry, shape = FILTERS[case]
    x = torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(4, 4).bfloat16()
    weight = kernel.expand(48, 1, 4, 4)
    y = direct(Call("forward", x, weight, None, geometry))
    calls = [Call("forward", x, weight, None, geometry), Call("input", x, weight, torch.randn_like(y), geometry)]
    own, other = reversed(calls) if not geometry.transposed else calls
    assert alternatives(own) == ["spreading"]
    assert alternatives(other) == []
    exact = direct(Call(own.direction, x.float(), weight.float(), None if own.dy is None else own.dy.float(), geometry))
    found = ALGORITHMS["spreading"](own)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, exact.bfloat16(), rtol=0.02, atol=0.02)
    both = ALGORITHMS["spreading"](own._replace(onto=exact.bfloat16()))
    if own.dy is not None:
        torch.testing.assert_close(both, 2 * exact.bfloat16(), rtol=0.02, atol=0.04)
    dense = Call(own.direction, x, torch.ones(48, 48, 4, 4).bfloat16(), own.dy, geometry)
    assert alternatives(dense) == []


@pytest.mark.parametrize("padding", [0, 1])
def test_a_transposed_convolution_in_bfloat16_is_the_gradient_of_a_convolution(padding: int) -> None:
    torch.manual_seed(0)
    geometry = Geometry(stride=2, padding=padding, transposed=True)
    x, weight = torch.randn(8, 48, 16, 17), torch.randn(48, 32, 3, 3) / 20
    call = Call(
        "forward", x.bfloat16().contiguous(memory_format=torch.channels_last), weight.bfloat16(), None, geometry
    )
    assert alternatives(call) == ["swapping"]
    found = ALGORITHMS["swapping"](call)
    assert found.is_contiguous(memory_format=torch.channels_last)
    exact = direct(Call("forward", call.x.float(), call.weight.float(), None, geometry))
    torch.testing.assert_close(found, exact.bfloat16(), rtol=0.02, atol=0.02)
    assert alternatives(call._replace(x=call.x[:1, :, :2, :2])) == []
    assert alternatives(Call("forward", exact.bfloat16(), weight.bfloat16().mT, None, Geometry(stride=2))) == []
