import math

import pytest
import torch
from torch import Tensor, nn

from dualgan.losses import R1, NonSaturating, PathLength
from dualgan.losses.regularizers import image_gradient, squared_norms
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.attention import SAN
from dualgan.networks.mapping import with_means_of_w
from dualgan.networks.pyramid import block_resolutions
from dualgan.networks.stylegan2.generator import StyledConv
from tests.networks.published import PUBLISHED, Golden, load

PSI = 0.6
DESIGNED_RESOLUTIONS = [8, 16, 32, 64, 128, 256, 512, 1024]


def small_generator(resolution: int = 16, num_channels: int = 3, num_classes: int = 0) -> StyleGAN2Generator:
    """A generator whose noise is on; it starts switched off (strength 0)."""
    G = StyleGAN2Generator(
        resolution, num_channels, num_classes, z_dim=16, w_dim=16, mapping_layers=2, channel_base=512, channel_max=32
    )
    for module in G.modules():
        if isinstance(module, StyledConv):
            assert module.noise_strength is not None
            nn.init.constant_(module.noise_strength, 0.3)
    return G


def small_discriminator(resolution: int = 16, num_channels: int = 3, num_classes: int = 0) -> StyleGAN2Discriminator:
    return StyleGAN2Discriminator(
        resolution, num_channels, num_classes, channel_base=512, channel_max=32, mapping_layers=2
    )


# --- published implementations ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=PUBLISHED, ids=lambda p: p[0])
def golden(request: pytest.FixtureRequest) -> Golden:
    return load(*request.param)


def assert_agrees(ours: Tensor, published: Tensor) -> None:
    """1e-5 of the largest value; the design asks for 1e-4."""
    torch.testing.assert_close(ours, published, rtol=0, atol=1e-5 * published.abs().max().item())


def test_ws_agree_with_the_published_implementation(golden: Golden) -> None:
    z, expected = golden.expected["z"], golden.expected
    assert_agrees(golden.G.mapping(z, golden.labels), expected["ws"])
    assert_agrees(golden.G.mapping(z, golden.labels, truncation_psi=PSI), expected["ws_psi0.6"])


def test_images_agree_with_the_published_implementation(golden: Golden) -> None:
    ws = golden.expected["ws"]
    assert_agrees(golden.G.synthesis(ws, noise_mode="const"), golden.expected["images_const"])
    assert_agrees(golden.G.synthesis(ws, noise_mode="none"), golden.expected["images_nonoise"])
    assert_agrees(golden.G(golden.expected["z"], golden.labels, noise_mode="const"), golden.expected["images_const"])


def test_style_mixing_agrees_with_the_published_implementation(golden: Golden) -> None:
    ws = golden.expected["ws"]
    mixed = torch.cat([ws[:, :3], ws.flip(0)[:, 3:]], dim=1)
    assert_agrees(golden.G.synthesis(mixed, noise_mode="const"), golden.expected["images_mixed_from_3"])


def test_logits_agree_with_the_published_implementation(golden: Golden) -> None:
    assert_agrees(golden.D(golden.expected["real"], golden.labels), golden.expected["logits"].squeeze(1))


def test_r1_agrees_with_the_published_implementation(golden: Golden) -> None:
    real, published = golden.expected["real"], golden.expected["r1_per_image"]
    assert_agrees(squared_norms(image_gradient(lambda x: golden.D(x, golden.labels), real)), published)
    penalty = R1(gamma=6)(lambda x: golden.D(x, golden.labels), real, None)
    assert_agrees(penalty, 3 * published.mean())


def test_path_lengths_agree_with_the_published_implementation(golden: Golden) -> None:
    ws = golden.expected["ws"].clone().requires_grad_()
    images = golden.G.synthesis(ws, noise_mode="const")
    # the stored noise is divided by the resolution already
    noise = golden.expected["pl_noise"] * golden.G.resolution
    assert_agrees(PathLength().path_lengths(images, ws, noise), golden.expected["path_lengths"])


# --- sizes -----------------------------------------------------------------------------------------------------------


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def test_config_e_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        G, D = StyleGAN2Generator(256), StyleGAN2Discriminator(256)
        assert (count(G), count(G.mapping), count(D)) == (24_767_458, 2_101_248, 24_001_089)
        assert count(StyleGAN2Generator(128)) + count(StyleGAN2Discriminator(128)) == 48_407_582


def test_config_f_is_twice_as_wide_above_32() -> None:
    with torch.device("meta"):
        wide, usual = StyleGAN2Discriminator(256, channel_base=32768), StyleGAN2Discriminator(256)
    shapes = [[tuple(D.get_parameter(f"b{r}.conv0.weight").shape) for r in (256, 64, 32)] for D in (usual, wide)]
    assert shapes[0] == [(64, 64, 3, 3), (256, 256, 3, 3), (512, 512, 3, 3)]
    assert shapes[1] == [(128, 128, 3, 3), (512, 512, 3, 3), (512, 512, 3, 3)]


@pytest.mark.parametrize("resolution", DESIGNED_RESOLUTIONS)
@pytest.mark.parametrize(("num_channels", "num_classes"), [(3, 0), (1, 0), (3, 10)], ids=["rgb", "gray", "classes"])
def test_every_resolution_has_the_right_shapes(resolution: int, num_channels: int, num_classes: int) -> None:
    with torch.device("meta"):
        G = StyleGAN2Generator(resolution, num_channels, num_classes)
        D = StyleGAN2Discriminator(resolution, num_channels, num_classes)
        labels = torch.zeros(4, dtype=torch.long) if num_classes else None
        ws = G.mapping(torch.empty(4, 512), labels)
        images = G.synthesis(ws)
        assert ws.shape == (4, G.num_ws, 512)
        assert G.num_ws == 2 * len(block_resolutions(resolution))
        assert images.shape == (4, num_channels, resolution, resolution)
        assert D(images, labels).shape == (4,)
        assert D.features(images, labels).shape == (4, 512)


@pytest.mark.parametrize("network", [StyleGAN2Generator, StyleGAN2Discriminator])
def test_a_wrong_resolution_is_refused(network: type[StyleGAN2Generator | StyleGAN2Discriminator]) -> None:
    with pytest.raises(ValueError, match=r"resolution 200 is not a power of two.*8, 16, \.\.\., 1024"):
        network(200)


# --- mapping ---------------------------------------------------------------------------------------------------------


def test_truncation_pulls_towards_the_mean_w() -> None:
    G, z = small_generator(), torch.randn(4, 16)
    G.mapping.w_avg.copy_(torch.randn(16))
    whole, half = G.mapping(z), G.mapping(z, truncation_psi=0.5)
    torch.testing.assert_close(half - G.mapping.w_avg, 0.5 * (whole - G.mapping.w_avg))
    torch.testing.assert_close(G.mapping(z, truncation_psi=0.0), G.mapping.w_avg.expand_as(whole))
    assert not torch.equal(G(z, truncation_psi=0.5, noise_mode="const"), G(z, noise_mode="const"))


def test_tracking_approaches_the_mean_w_at_the_given_rate() -> None:
    mapping = small_generator().mapping
    target = torch.randn(16)
    mapping.track(target[None])
    torch.testing.assert_close(mapping.w_avg, 0.005 * target)  # as it is published
    mapping.track(torch.stack([target + 2, target]))
    torch.testing.assert_close(mapping.w_avg, 0.995 * 0.005 * target + 0.005 * (target + 1))
    torch.testing.assert_close(mapping.mean_w(), target + 1 / 1.995, rtol=1e-5, atol=1e-5)  # the weighted mean of both


@torch.no_grad()
@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_short_run_has_the_mean_w_although_it_started_at_zero(num_classes: int) -> None:
    G = small_generator(num_classes=num_classes)
    names = range(max(num_classes, 1))
    seeds = torch.randn(6000, 16)
    everyones = [torch.full((6000,), k) if num_classes else None for k in names]
    whole = [G.mapping(seeds, labels)[:, 0] for labels in everyones]
    for _ in range(60):
        labels = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 32, replacement=True) if num_classes else None
        G.mapping.track(G.mapping(torch.randn(32, 16), labels)[:, 0], labels)
    for k, w in zip(names, whole, strict=True):
        labels = None if not num_classes else torch.tensor([k])
        deviation = w.std(dim=0).norm()
        stored = G.mapping.w_avg + (G.mapping.w_shift_of_class[k] if num_classes else 0)
        assert float((G.mapping.mean_w(labels).squeeze(0) - w.mean(dim=0)).norm() / deviation) < 0.1
        assert float((stored - w.mean(dim=0)).norm() / deviation) > 0.3
        drawn = G.mapping(torch.randn(1, 16), labels, truncation_psi=0)[0, 0]
        torch.testing.assert_close(drawn, G.mapping.mean_w(labels).view(-1))


def test_a_mean_whose_updates_nobody_counted_is_taken_as_it_is_stored() -> None:
    G = small_generator(num_classes=2)
    G.mapping.track(torch.randn(4, 16), torch.tensor([0, 0, 0, 1]))
    state = {name: value for name, value in G.state_dict().items() if not name.endswith("updates")}
    G.load_state_dict(with_means_of_w(state, 2))
    found = G.mapping.mean_w(torch.arange(2))
    assert torch.equal(found, G.mapping.w_avg + G.mapping.w_shift_of_class)


def test_every_class_is_truncated_towards_its_own_mean() -> None:
    G = small_generator(num_classes=4)
    centre = torch.randn(4, 16)
    frequent = torch.tensor([0.495, 0.495, 0.01, 0.0])  # one class is rare, one has no image
    for _ in range(3000):
        labels = torch.multinomial(frequent, 32, replacement=True)
        G.mapping.track(centre[labels] + 0.1 * torch.randn(32, 16), labels)
    classes = torch.arange(4)
    found = G.mapping.mean_w(classes)
    torch.testing.assert_close(found[:2], centre[:2], rtol=0, atol=0.1)
    torch.testing.assert_close(found[3], G.mapping.w_avg)  # what is not known is the common mean, and never 0
    common, own = G.mapping.w_avg - centre[2], found[2] - centre[2]
    assert float(own.norm()) < 0.8 * float(common.norm())  # the rare one is on its way
    z, labels = torch.randn(4, 16), torch.tensor([0, 1, 1, 2])
    ws = G.mapping(z, labels, truncation_psi=0.25)
    torch.testing.assert_close(ws, found[labels][:, None].lerp(G.mapping(z, labels), 0.25))


def test_equally_frequent_classes_move_as_fast_as_the_common_mean() -> None:
    mapping = small_generator(num_classes=2).mapping
    labels = torch.arange(8) % 2
    w = torch.randn(2, 16)[labels]
    for _ in range(2000):
        mapping.track(w, labels)
    torch.testing.assert_close(mapping.mean_w(torch.arange(2)), w[:2], rtol=0, atol=0.2)


def test_the_mean_w_is_state_and_no_parameter() -> None:
    G = small_generator()
    assert "mapping.w_avg" in G.state_dict()
    assert "mapping.w_avg" not in dict(G.named_parameters())


def test_the_length_of_z_does_not_matter() -> None:
    G, z = small_generator(), torch.randn(4, 16)
    torch.testing.assert_close(G.mapping(z), G.mapping(3 * z))


def test_classes_change_images_and_logits() -> None:
    G, D = small_generator(num_classes=3), small_discriminator(num_classes=3)
    z, first, second = torch.randn(4, 16), torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    images = G(z, first, noise_mode="const")
    assert not torch.allclose(images, G(z, second, noise_mode="const"))
    assert not torch.allclose(D(images, first), D(images, second))
    assert torch.equal(D.features(images, first), D.features(images, second))


@pytest.mark.parametrize(
    ("num_classes", "labels", "message"),
    [
        (0, torch.zeros(4, dtype=torch.long), "unconditional"),
        (3, None, "3 classes needs labels"),
        (3, torch.zeros(2, dtype=torch.long), r"\(2,\) for 4 samples"),
    ],
    ids=["superfluous", "missing", "miscounted"],
)
class TestWrongLabels:
    def test_discriminator_says_what_it_expected(self, num_classes: int, labels: Tensor | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small_discriminator(num_classes=num_classes)(torch.zeros(4, 3, 16, 16), labels)

    def test_generator_says_what_it_expected(self, num_classes: int, labels: Tensor | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small_generator(num_classes=num_classes)(torch.zeros(4, 16), labels)


# --- synthesis -------------------------------------------------------------------------------------------------------


def test_constant_and_no_noise_repeat_and_random_noise_does_not() -> None:
    G = small_generator()
    ws = G.mapping(torch.randn(2, 16))
    for mode in ("const", "none"):
        assert torch.equal(G.synthesis(ws, noise_mode=mode), G.synthesis(ws, noise_mode=mode))
    images = G.synthesis(ws, noise_mode="random")
    assert not torch.allclose(images, G.synthesis(ws, noise_mode="random"))
    assert not torch.allclose(G.synthesis(ws, noise_mode="const"), G.synthesis(ws, noise_mode="none"))


def test_random_noise_differs_between_samples_and_follows_the_seed() -> None:
    G = small_generator()
    ws = G.mapping(torch.randn(1, 16)).expand(2, -1, -1)
    images = []
    for _ in range(2):
        torch.manual_seed(3)
        images.append(G.synthesis(ws))
    assert torch.equal(images[0], images[1])
    assert not torch.allclose(images[0][0], images[0][1])


@pytest.mark.parametrize("attention", [None, SAN])
def test_a_generator_without_noise_is_one_whose_noise_is_left_out(attention: type[SAN] | None) -> None:
    def make(noise: bool) -> StyleGAN2Generator:
        torch.manual_seed(0)
        sizes = {"z_dim": 16, "w_dim": 16, "channel_base": 512, "channel_max": 32}
        placed = {} if attention is None else {"attention": attention, "attention_resolution": 8}
        return StyleGAN2Generator(16, noise=noise, **sizes, **placed)  # type: ignore[arg-type]

    noisy, without = make(True), make(False)
    assert (noisy.has_noise, without.has_noise) == (True, False)
    state, rest = noisy.state_dict(), without.state_dict()
    assert {name.rpartition(".")[2] for name in state.keys() - rest.keys()} == {"noise_const", "noise_strength"}
    assert all(torch.equal(state[name], tensor) for name, tensor in rest.items())
    z = torch.randn(2, 16)
    expected = noisy(z, noise_mode="none")
    assert all(torch.equal(without(z, noise_mode=mode), expected) for mode in ("random", "const", "none"))


def test_a_seed_fixes_the_network_and_its_images() -> None:
    images = []
    for _ in range(2):
        torch.manual_seed(5)
        images.append(small_generator()(torch.randn(2, 16), noise_mode="const"))
    assert torch.equal(images[0], images[1])


def test_an_unknown_noise_mode_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'constant'.*random, const, none"):
        small_generator()(torch.zeros(1, 16), noise_mode="constant")


def test_ws_of_the_wrong_shape_are_answered_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"\(2, 16\).*\[N, 6, 16\]"):
        small_generator().synthesis(torch.zeros(2, 16))


def test_each_sample_of_a_batch_is_generated_on_its_own() -> None:
    G = small_generator()
    ws = G.mapping(torch.randn(3, 16))
    whole = G.synthesis(ws, noise_mode="const")
    for i in range(3):
        torch.testing.assert_close(G.synthesis(ws[i : i + 1], noise_mode="const"), whole[i : i + 1])


# --- gradients -------------------------------------------------------------------------------------------------------


def unused(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.grad is None}


@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_parameter_learns(num_classes: int) -> None:
    G, D = small_generator(num_classes=num_classes), small_discriminator(num_classes=num_classes)
    labels = torch.tensor([0, 1, 2, 0]) if num_classes else None
    torch.autograd.backward(D(G(torch.randn(4, 16), labels), labels).sum())
    assert not unused(G)
    assert not unused(D)
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.any(), name


def test_without_noise_its_strengths_are_the_only_unused_parameters() -> None:
    G = small_generator()
    torch.autograd.backward(G(torch.randn(4, 16), noise_mode="none").sum())
    assert unused(G) == {name for name, _ in G.named_parameters() if name.endswith("noise_strength")}


def test_penalties_reach_every_weight() -> None:
    G, D = small_generator(), small_discriminator()
    torch.autograd.backward(R1()(D, torch.randn(4, 3, 16, 16), None))
    # the last bias shifts all logits alike: no gradient of D's gradient
    for name, parameter in D.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None
            assert parameter.grad.any(), name
    ws = G.mapping(torch.randn(4, 16))
    path_length = PathLength()
    torch.autograd.backward(path_length.penalty(path_length.path_lengths(G.synthesis(ws), ws), torch.tensor(0.0)))
    for name, parameter in G.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None
            assert parameter.grad.any(), name


# --- precision and layout --------------------------------------------------------------------------------------------


def gradients(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def relative_error(approximate: Tensor, exact: Tensor) -> float:
    return float((approximate.detach().float() - exact.detach()).norm() / exact.detach().norm())


def test_bfloat16_autocast_stays_close_to_float32() -> None:
    G, D, z = small_generator(32), small_discriminator(32), torch.randn(4, 16)
    exact_images = G(z, noise_mode="const")
    exact_logits = D(exact_images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images, logits = G(z, noise_mode="const"), D(exact_images)
    assert images.dtype == logits.dtype == torch.float32
    assert images.isfinite().all()
    assert 0 < relative_error(images, exact_images) < 0.03
    assert 0 < relative_error(logits, exact_logits) < 0.03


@pytest.mark.parametrize("num_classes", [0, 3])
def test_truncation_and_classes_work_under_autocast(num_classes: int) -> None:
    G, D, z = small_generator(num_classes=num_classes), small_discriminator(num_classes=num_classes), torch.randn(4, 16)
    labels = torch.tensor([0, 1, 2, 0]) if num_classes else None
    exact = G(z, labels, truncation_psi=0.7, noise_mode="const")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = G(z, labels, truncation_psi=0.7, noise_mode="const")
        assert D(images, labels).dtype == torch.float32
    assert relative_error(images, exact) < 0.03


def test_both_players_learn_under_bfloat16_with_penalties_in_float32() -> None:
    loss, z, real = NonSaturating(), torch.randn(8, 16), torch.randn(8, 3, 32, 32)
    steps = []
    for bf16 in (False, True):
        torch.manual_seed(1)
        G, D = small_generator(32), small_discriminator(32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            fake = G(z, noise_mode="const")
            loss_G = loss.generator(D(fake))
            loss_D = loss.discriminator(D(real), D(fake.detach()))
        torch.autograd.backward(loss_G)
        step_G = gradients(G)
        D.zero_grad()
        torch.autograd.backward(loss_D)
        torch.autograd.backward(R1(gamma=1)(D, real, None))
        step_D = gradients(D)
        assert step_G.isfinite().all()
        assert step_D.isfinite().all()
        steps.append((step_G, step_D))
    for exact, approximate in zip(*steps, strict=True):
        assert exact.dtype == approximate.dtype == torch.float32
        assert torch.cosine_similarity(exact, approximate, dim=0) > 0.99


def test_memory_layout_does_not_change_results() -> None:
    real = torch.randn(4, 3, 16, 16)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(1)
        G, D = small_generator(), small_discriminator()
        for network in (G, D):
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=layout)
        images = G(torch.randn(4, 16), noise_mode="const")
        torch.autograd.backward(D(images.contiguous(memory_format=layout)).sum())
        torch.autograd.backward(R1()(D, real.contiguous(memory_format=layout), None))
        results.append((images, gradients(G), gradients(D)))
    for contiguous, channels_last in zip(*results, strict=True):
        assert relative_error(channels_last, contiguous) < 1e-5


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("n", [3, 8])
def test_a_pair_of_real_and_generated_images_scores_like_two_batches(n: int, num_classes: int) -> None:
    discriminator = small_discriminator(num_classes=num_classes)
    labels = torch.arange(n) % 3 if num_classes else None
    real, fake = torch.randn(2, n, 3, 16, 16).unbind()
    together = discriminator.pair(real, fake, labels)
    torch.testing.assert_close(together, (discriminator(real, labels), discriminator(fake, labels)))


def test_images_at_initialisation_have_a_sensible_range() -> None:
    images = small_generator(64)(torch.randn(8, 16))
    assert 0.1 < images.std().item() < 10 * math.sqrt(5)
