"""Path lengths: the published definition, no dependence on batches, and the distances that measure them."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualgan.metrics import LPIPS, FeatureDistance, find_distance, path_lengths, perceptual_path_length
from dualgan.metrics.ppl import comparable
from dualgan.metrics.table import METRICS
from dualgan.metrics.weights import WEIGHTS
from tests.tiny import generator

Space = Literal["w", "z"]
Sampling = Literal["full", "end"]


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b.double()).square().mean((1, 2, 3))


class Pixels(nn.Module):
    """An image is w."""

    def forward(self, ws: Tensor, noise_mode: str) -> Tensor:
        assert noise_mode == "const"
        return ws[:, 0].reshape(-1, 3, 4, 4)


class Linear(nn.Module):
    """w is 3 z, and an image is w: path lengths are known in closed form."""

    z_dim, num_classes = 48, 0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.synthesis = Pixels()

    def mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return (self.scale * z)[:, None]


# Independent of everything but the definition: a straight path of length |w1 - w0| has speed |w1 - w0| everywhere.
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_length_on_a_straight_path_is_the_ends_distance(sampling: Sampling) -> None:
    lengths = path_lengths(Linear(), squared_error, range(400), "w", sampling, epsilon=1e-2)
    # E |w1 - w0|^2 / d = 2 * 3^2
    assert float(lengths.mean()) == pytest.approx(18, rel=0.05)
    assert float(lengths.std()) == pytest.approx(18 * (2 / 48) ** 0.5, rel=0.15)


def test_length_on_a_great_circle_is_the_angle() -> None:
    lengths = path_lengths(Linear(), squared_error, range(200), "z", epsilon=1e-2)
    # radius sqrt d, angles around pi / 2: the mean of (3 angle)^2 is 9 (pi^2 / 4 + 1 / d)
    assert float(lengths.mean()) == pytest.approx(9 * (np.pi**2 / 4 + 1 / 48), rel=0.05)


@pytest.mark.parametrize("space", ["w", "z"])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_lengths_depend_on_seeds_only(space: Space, num_classes: int) -> None:
    G = generator(resolution=8, num_classes=num_classes).train()
    whole = path_lengths(G, squared_error, [3, 1, 4, 1, 5], space, epsilon=0.01)
    parts = [path_lengths(G, squared_error, seeds, space, "full", 0.01, batch_size=1) for seeds in ([3, 1], [4, 1, 5])]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-3, atol=0)
    assert G.training
    assert float(whole.min()) > 0
    assert len(set(whole.round(decimals=4).tolist())) == 4
    assert path_lengths(G, squared_error, [], space).shape == (0,)


def test_the_step_is_small_enough_and_no_smaller() -> None:
    G = generator(resolution=8)
    fine, coarse = (path_lengths(G, squared_error, range(16), epsilon=e).mean() for e in (1e-4, 1e-2))
    assert float(fine) == pytest.approx(float(coarse), rel=0.05)  # float32 images carry the difference


@pytest.mark.parametrize("count", [1, 5, 100, 101, 1234])
def test_outliers_are_left_out_as_numpys_percentiles_say(count: int) -> None:
    lengths = torch.rand(count, generator=torch.Generator().manual_seed(count)).exp()
    values = lengths.double().numpy()
    low, high = np.percentile(values, 1, method="lower"), np.percentile(values, 99, method="higher")
    wanted = values[(values >= low) & (values <= high)].mean()
    assert float(perceptual_path_length(lengths)) == pytest.approx(wanted, rel=1e-12)


def test_both_ends_have_one_noise_which_is_drawn_for_every_batch() -> None:
    G = generator(resolution=8)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.ones_(parameter)
    seen: list[Tensor] = []

    def distance(a: Tensor, b: Tensor) -> Tensor:
        seen.append(a)
        return squared_error(a, b)

    lengths = path_lengths(G, distance, [5, 5, 7], batch_size=2, epsilon=1e-3)
    torch.testing.assert_close(lengths[0], lengths[1])
    assert float(lengths.max()) < 1e4  # other noise at the other end would be a length of 1 / epsilon^2
    path_lengths(G, distance, [7, 5], batch_size=2)
    assert not torch.equal(seen[1][0], seen[2][1])  # the same seed 7 with another batch's noise
    torch.testing.assert_close(path_lengths(G, squared_error, [5, 5, 7], batch_size=2, epsilon=1e-3), lengths)


def test_classes_of_paths_are_drawn_as_the_images_have_them() -> None:
    G, asked = generator(resolution=8, num_classes=3), list[int]()
    mapping = G.mapping.forward

    def noted(z: Tensor, labels: Tensor) -> Tensor:
        asked.extend(labels.tolist())
        return mapping(z, labels)

    G.mapping.forward = noted  # type: ignore
    path_lengths(G, squared_error, range(12), label_counts=torch.tensor([1.0, 0.0, 3.0]))
    assert set(asked) == {0, 2}


def test_the_centre_of_faces_is_stylegans() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    torch.testing.assert_close(comparable(image, crop=True)[0, 0], image[0, 0, 3:7, 2:6])
    assert comparable(torch.rand(1, 3, 1024, 1024), crop=True).shape == (1, 3, 256, 256)
    assert [METRICS[name].path[2] for name in ("ppl", "ppl_wend", "ppl_zfull")] == [False, True, True]


def test_images_are_compared_in_colour_and_at_256() -> None:
    assert comparable(torch.rand(2, 1, 8, 8)).shape == (2, 3, 8, 8)
    big = torch.rand(1, 3, 512, 512)
    torch.testing.assert_close(comparable(big)[0, :, 0, 0], big[0, :, :2, :2].mean((1, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "x"}, "space 'x' does not exist"),
        ({"sampling": "middle"}, "sampling 'middle' does not exist: choose 'full'"),
        ({"epsilon": 0.0}, r"epsilon 0\.0 is not a step.*1e-4"),
        ({"batch_size": 0}, "batch_size 0"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        path_lengths(Linear(), squared_error, [0], **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="path lengths hold NaN or infinity in 1 of 2 rows"):
        perceptual_path_length(torch.tensor([1, torch.nan]))


def test_lpips_is_torch_fidelitys(vgg16_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity import sample_similarity_lpips
    from torchvision.models import vgg16

    def network() -> nn.Module:
        model: nn.Module = vgg16()
        model.load_state_dict(torch.load(vgg16_file))
        return model

    monkeypatch.setattr(sample_similarity_lpips, "torchvision_load_pretrained_vgg16", network)
    lins = torch.load(WEIGHTS["lpips_vgg16"].path, map_location="cpu")
    monkeypatch.setattr(sample_similarity_lpips, "load_state_dict_from_url", lambda *_, **__: lins)
    theirs = sample_similarity_lpips.SampleSimilarityLPIPS("lpips-vgg16")
    a, b = torch.rand(2, 2, 3, 40, 48).unbind()
    ours = LPIPS(vgg16_file)
    distances = ours(a * 2 - 1, b * 2 - 1)
    torch.testing.assert_close(distances, theirs(a * 255, b * 255), rtol=1e-4, atol=0)
    assert float(ours(a, a).max()) == 0
    assert ours.metric_name("ppl_wend") == "ppl_wend_lpips_vgg16"  # these weights are not the published ones
    ours.weight_hash = WEIGHTS["vgg16"].sha256[:8] + WEIGHTS["lpips_vgg16"].sha256[:8]
    assert [ours.metric_name(kind) for kind in ("ppl_wend", "ppl2_wend")] == ["ppl_wend", "ppl2_wend"]


def test_the_fallback_is_named_and_loud(caplog: pytest.LogCaptureFixture, caches: None) -> None:
    distance = find_distance()
    assert isinstance(distance, FeatureDistance)
    assert distance.metric_name("ppl_zfull") == "ppl_zfull_efficientnet_lite0"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    for word in (WEIGHTS["vgg16"].file, "dualgan weights --download vgg16", "instead of LPIPS"):
        assert word in caplog.text
    a = torch.rand(2, 3, 16, 16) * 2 - 1
    near, far = distance(a, a + 0.01), distance(a, -a)
    assert bool((near > 0).all())
    assert bool((near < far).all())
    assert float(path_lengths(generator(resolution=8), distance, range(3)).min()) > 0
