"""Attention in StyleGAN2's discriminator: its place, its reference images, its description."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dualgan.losses import R1
from dualgan.networks import StyleGAN2Discriminator, build_network
from dualgan.networks.attention import SAN, Attention, ReferenceAttention

FORMS = {name: partial(ReferenceAttention, sources=name, footprint=3) for name in ("eq8", "eq1", "eq2")}
every_form = pytest.mark.parametrize("sources", FORMS)
Eq8 = FORMS["eq8"]


def discriminator(
    attention: Any = None, attention_resolution: int | None = None, resolution: int = 16, **settings: Any
) -> StyleGAN2Discriminator:
    torch.manual_seed(0)
    return StyleGAN2Discriminator(
        resolution, channel_base=512, channel_max=16, attention=attention, attention_resolution=attention_resolution,
        **settings,
    )  # fmt: skip


def images(kinds: int, resolution: int = 16, count: int = 8) -> tuple[Tensor, ...]:
    return torch.rand(kinds, count, 3, resolution, resolution).mul(2).sub(1).unbind()


@every_form
@pytest.mark.parametrize("attention_resolution", [8, 16, 32])
def test_logits_depend_on_both_images_at_every_resolution(sources: str, attention_resolution: int) -> None:
    D = discriminator(FORMS[sources], attention_resolution, resolution=32)
    real, reference = images(2, 32)
    logits = D(real, None, reference)
    shuffled = D(real, None, reference.flip(0))
    assert D.takes_reference
    assert logits.shape == shuffled.shape == (8,)
    assert D.features(real, reference=reference).shape == (8, 16)
    assert logits.isfinite().all()
    assert shuffled.isfinite().all()
    assert not torch.allclose(logits, shuffled, atol=1e-6)
    assert not torch.allclose(logits, D(real.flip(0), None, reference).flip(0), atol=1e-6)


def test_self_attention_takes_no_reference() -> None:
    D, (real, fake) = discriminator(SAN, 8), images(2)
    assert not D.takes_reference
    assert D(real).isfinite().all()
    assert not torch.allclose(D(real), discriminator()(real))
    assert torch.allclose(torch.cat(D.pair(real, fake)), torch.cat([D(real), D(fake)]), atol=1e-6)


@pytest.mark.parametrize("attention", [SAN, ReferenceAttention])
def test_attention_replaces_the_weight_of_one_layer_and_nothing_else(attention: Callable[[int], Attention]) -> None:
    plain, attending = discriminator().state_dict(), discriminator(attention, 8).state_dict()
    assert plain.keys() - attending.keys() == {"b8.conv0.weight"}
    assert {name[:18] for name in attending.keys() - plain.keys()} == {"b8.conv0.attention"}
    assert all(attending[name].shape == plain[name].shape for name in attending.keys() & plain.keys())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_the_papers_size() -> None:
    with torch.device("meta"):
        plain = count(StyleGAN2Discriminator(256))
        attending = count(StyleGAN2Discriminator(256, attention=ReferenceAttention, attention_resolution=8))
    keys_queries_values = 2 * (512 * 128 + 128) + (512 * 512 + 512)
    weights = (50 * 128 * 128 + 128) + (49 * 128 * 128 + 49 * 128)
    assert attending - plain == keys_queries_values + weights - 9 * 512 * 512


@every_form
@pytest.mark.parametrize("attention_resolution", [8, 16])
def test_one_pass_over_real_and_generated_images_is_two_calls(sources: str, attention_resolution: int) -> None:
    D = discriminator(FORMS[sources], attention_resolution, num_classes=3, mapping_layers=1, minibatch_std_group=2)
    real, fake, reference = images(3)
    labels = torch.arange(8) % 3
    expected = D(real, labels, reference), D(fake, labels, reference)
    torch.testing.assert_close(D.pair(real, fake, labels, reference), expected, rtol=1e-4, atol=1e-6)


def seen_by(module: nn.Module, run: Callable[[], object]) -> list[tuple[Tensor, ...]]:
    seen: list[tuple[Tensor, ...]] = []
    with module.register_forward_hook(lambda _, inputs, __: seen.append(inputs)):
        run()
    return seen


def test_the_trunk_sees_each_image_once_in_a_step_of_d() -> None:
    D, (real, fake, reference) = discriminator(Eq8, 8), images(3)
    passes = seen_by(D.get_submodule("b16"), lambda: D.pair(real, fake, None, reference))
    assert [len(inputs[0]) for inputs in passes] == [24]
    ((primary, other, *_),) = seen_by(
        D.get_submodule("b8.conv0.attention"), lambda: D.pair(real, fake, None, reference)
    )
    assert (len(primary), len(other)) == (16, 8)
    assert other.requires_grad


def test_the_trunk_learns_through_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    D, (real, fake, reference) = discriminator(Eq8, 8), images(3)
    encode = D.encode

    def gradient() -> Tensor:
        D.zero_grad()
        torch.autograd.backward(torch.cat(D.pair(real, fake, None, reference)).sum())
        weight = D.get_submodule("b16.conv0").weight
        assert isinstance(weight, Tensor)
        assert weight.grad is not None
        return weight.grad.clone()

    whole = gradient()
    monkeypatch.setattr(D, "encode", lambda *inputs: (encode(*inputs)[0], encode(*inputs)[1].detach()))
    assert not torch.allclose(gradient(), whole, rtol=1e-3)


# G's step: D is frozen, and nothing asks for the reference's gradient.
def test_references_record_nothing_in_a_step_of_g() -> None:
    D, (fake, reference) = discriminator(Eq8, 8).requires_grad_(False), images(2)
    ((primary, other, *_),) = seen_by(
        D.get_submodule("b8.conv0.attention"), lambda: D(fake.clone().requires_grad_(), None, reference)
    )
    assert primary.requires_grad
    assert not other.requires_grad


@every_form
def test_r1_looks_at_the_primary_and_reaches_every_weight(sources: str) -> None:
    D, (real, reference) = discriminator(FORMS[sources], 8), images(2)
    ((_, other, *_), *_) = seen_by(
        D.get_submodule("b8.conv0.attention"),
        lambda: torch.autograd.backward(R1(gamma=1)(lambda x: D(x, None, reference), real, None)),
    )
    assert other.requires_grad  # the trunk's weights also shape the reference's features
    # Leaky ReLUs have no curvature: biases may have no gradient.
    still = {name for name, p in D.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in still if not name.endswith("bias")} == set()
    asked = D(real.clone().requires_grad_(), None, reference)
    torch.testing.assert_close(asked, D(real, None, reference), rtol=1e-4, atol=1e-6)


def test_bfloat16_autocast_and_channels_last_stay_close() -> None:
    D, (real, fake, reference) = discriminator(Eq8, 8), images(3)
    expected = torch.cat(D.pair(real, fake, None, reference))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = torch.cat(D.pair(real, fake, None, reference))
    assert low.dtype == torch.float32
    assert (low - expected).norm() < 0.05 * expected.norm()
    D = D.to(memory_format=torch.channels_last)
    last = [x.contiguous(memory_format=torch.channels_last) for x in (real, fake, reference)]
    torch.testing.assert_close(torch.cat(D.pair(last[0], last[1], None, last[2])), expected, rtol=1e-4, atol=1e-5)


def test_a_description_is_plain_data_that_rebuilds_the_discriminator() -> None:
    D, (real, reference) = discriminator(FORMS["eq2"], 8), images(2)
    description = json.loads(json.dumps(D.describe()))
    options = {"sources": "eq2", "footprint": 3, "normalize": False}
    assert description["init_args"]["attention"] == {"class_name": "ReferenceAttention", "init_args": options}
    twin = build_network(description)
    twin.load_state_dict(D.state_dict())
    assert torch.equal(twin(real, None, reference), D(real, None, reference))


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ("SAN", "'SAN': expected a dictionary of class_name, one of .*ReferenceAttention"),
        (["SAN", "ReferenceAttention"], r"\['SAN', 'ReferenceAttention'\]: expected a dictionary"),
        ({"class_name": ["SAN"]}, "expected a dictionary"),
        ({"class_name": "SAN", "init_args": 7}, "expected a dictionary"),
        ({"class_name": "SAM", "init_args": {}}, "unknown attention 'SAM'"),
        ({"class_name": "SAN", "init_args": {"sources": "eq8"}}, "SAN has no option 'sources'"),
    ],
)
def test_a_damaged_description_is_refused(attention: Any, message: str) -> None:
    description = discriminator(SAN, 8).describe()
    damaged = {**description, "init_args": {**description["init_args"], "attention": attention}}
    with pytest.raises(ValueError, match=message):
        build_network(damaged)


@pytest.mark.parametrize(
    ("attention", "attention_resolution", "message"),
    [
        (ReferenceAttention, 4, "attention_resolution 4 in a discriminator of resolution 16: .* 8, 16$"),
        (ReferenceAttention, 32, "attention_resolution 32 in a discriminator of resolution 16: .* 8, 16$"),
        (ReferenceAttention, None, "attention_resolution None in a discriminator .* 8, 16$"),
        (None, 8, "attention_resolution 8 has no effect without attention"),
        (partial(ReferenceAttention, footprint=17), 8, "footprint 17 is too large for a feature map of 8 x 8.* 15"),
        ([SAN, ReferenceAttention], 8, "a layer takes a single module, so pass one of .*ReferenceAttention"),
        ("ReferenceAttention", 8, "'ReferenceAttention' is no class or function"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(attention: Any, attention_resolution: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        discriminator(attention, attention_resolution)


def test_attention_ends_at_32() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"attention needs one of 8, 16, 32$"):
        StyleGAN2Discriminator(128, attention=SAN, attention_resolution=64)


def test_attention_is_bounded_like_the_convolution_in_its_place() -> None:
    D, (real,) = discriminator(SAN, 8, conv_clamp=0.01), images(1)
    outputs = {}
    for name in ("b16.conv0", "b8.conv0"):
        D.get_submodule(name).register_forward_hook(lambda *a, name=name: outputs.update({name: a[2]}))
    D(real)
    assert [float(y.detach().abs().max()) for y in outputs.values()] == [pytest.approx(0.01)] * 2


def test_wrong_images_say_what_was_expected() -> None:
    D, (real,) = discriminator(), images(1)
    for score in (D, D.features):
        with pytest.raises(ValueError, match=r"images of shape \(8, 3, 8, 8\) for a discriminator of \[N, 3, 16, 16\]"):
            score(real[:, :, ::2, ::2])


def test_wrong_references_say_what_was_expected() -> None:
    plain, D, (real, reference) = discriminator(), discriminator(Eq8, 8), images(2)
    with pytest.raises(ValueError, match="given to a discriminator without reference attention"):
        plain(real, None, reference)
    with pytest.raises(ValueError, match=r"needs reference images: pass real ones \[8, 3, 16, 16\]"):
        D(real)
    with pytest.raises(ValueError, match="needs reference images"):
        D.features(real)
    with pytest.raises(ValueError, match=r"shape \(4, 3, 16, 16\) for primary images of shape \(8, 3, 16, 16\)"):
        D.pair(real, real, None, reference[:4])
    with pytest.raises(ValueError, match=r"shape \(8, 3, 8, 8\) for primary images"):
        D(real, None, reference[:, :, ::2, ::2])


@pytest.mark.parametrize("attention_resolution", [8, 32])
def test_maps_are_those_of_what_the_attention_sees(attention_resolution: int) -> None:
    D, positions = discriminator(Eq8, attention_resolution, resolution=32), [(0, 0), (3, 7)]
    real, reference = images(2, 32)
    layer = D.get_submodule(f"b{attention_resolution}.conv0")
    (module,) = (part for part in layer.children() if isinstance(part, ReferenceAttention))
    ((primary, other, *_),) = seen_by(module, lambda: D(real, None, reference))
    maps = D.attention_maps(real, reference, positions)
    assert maps.shape == (8, 2, 3, 3)
    torch.testing.assert_close(maps, module.attention_map(primary, other, positions))
    assert not torch.allclose(maps, D.attention_maps(real, reference.flip(0), positions))


def test_maps_of_discriminators_without_reference_attention_are_refused() -> None:
    real, reference = images(2)
    for D in (discriminator(), discriminator(SAN, 8)):
        with pytest.raises(ValueError, match="has no reference attention: take a StyleGAN2Discriminator with"):
            D.attention_maps(real, reference, [(0, 0)])
