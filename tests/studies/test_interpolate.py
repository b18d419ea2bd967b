"""Walks between latents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from PIL import Image
from torch import Tensor, nn

from dualgan.networks import Latents, StyleGAN2Generator
from dualgan.networks.sampling import generate, labels_for, latents
from dualgan.studies.interpolate import JUMP, draw_interpolation, interpolate, save_animation, step_scores

Make = Callable[..., StyleGAN2Generator]


class Jumping(nn.Module):
    """Black where the first component of z is negative, else white."""

    z_dim, num_classes, num_ws = 4, 0, 1

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def styles(self, drawn: Latents, labels: Tensor | None, truncation_psi: float) -> Tensor:
        return drawn.z[:, None]

    def synthesis(self, ws: Tensor, noise_mode: str) -> Tensor:
        return torch.where(ws[:, 0, :1, None, None] < 0, -1.0, 1.0).expand(-1, 1, 8, 8)


def jumping_seeds() -> list[int]:
    z = latents(range(20), 4)[:, 0]
    return [int((z < 0).nonzero()[0]), int((z >= 0).nonzero()[0])]


@pytest.mark.parametrize(("space", "linear"), [("z", False), ("z", True), ("w", False)])
@pytest.mark.parametrize("channels", [1, 3])
def test_paths_lead_from_seed_to_seed(space: Any, linear: bool, channels: int, make_generator: Make) -> None:
    G = make_generator(channels)
    walked = interpolate(G, [4, 2, 9], 5, space, linear=linear)
    assert walked.images.shape == (2, 5, 8, 8, channels)
    ends = torch.cat(list(generate(G, [4, 2, 9]))).numpy().astype(int)
    assert np.abs(walked.images[:, 0] - ends[:2]).max() <= 1
    assert np.abs(walked.images[:, -1] - ends[1:]).max() <= 1
    for p in range(2):
        for s in range(4):
            difference = np.abs(walked.images[p, s + 1] / 255 - walked.images[p, s] / 255).mean()
            assert walked.scores[p, s] == pytest.approx(difference)


@pytest.mark.parametrize("space", ["z", "w"])
def test_ends_of_paths_are_truncated_as_alone(space: Any, make_generator: Make) -> None:
    G = make_generator(num_classes=2)
    truncation: dict[str, Any] = {"truncation_psi": 0.2, "truncation_cutoff": 2}
    walked = interpolate(G, [4, 2], 3, space, label=1, **truncation)
    own = torch.cat(list(generate(G, [4, 2], labels=torch.tensor([1, 1]), **truncation))).numpy().astype(int)
    assert np.abs(walked.images[0, [0, -1]] - own).max() <= 1
    whole = interpolate(G, [4, 2], 3, space, label=1, truncation_psi=0.2)
    assert (whole.images != walked.images).any()


def test_paths_differ_between_spaces(make_generator: Make) -> None:
    G = make_generator()
    with torch.no_grad():
        ws = G.mapping(latents([0, 1], G.z_dim))
        middle = G.synthesis(ws.mean(dim=0, keepdim=True), noise_mode="const")
    expected = (middle * 127.5 + 128).clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(interpolate(G, [0, 1], 3, "w").images[0, 1] - expected).max() <= 1
    spherical, straight = (interpolate(G, [0, 1], 6, linear=linear).images for linear in (False, True))
    assert (spherical != straight).any()


def test_one_class_through_z_and_each_its_own_in_w(make_generator: Make) -> None:
    G = make_generator(num_classes=5)
    classes = labels_for([0, 1], 5)
    assert classes is not None
    assert classes[0] != classes[1]
    of_seeds = torch.cat(list(generate(G, [0, 1]))).numpy().astype(int)
    in_w = interpolate(G, [0, 1], 3, "w").images[0]
    through_z = interpolate(G, [0, 1], 3).images[0]
    assert np.abs(through_z[0] - of_seeds[0]).max() <= 1
    assert np.abs(through_z[-1] - of_seeds[1]).max() > 1
    assert np.abs(in_w[[0, -1]] - of_seeds).max() <= 1
    fixed = torch.cat(list(generate(G, [0, 1], labels=torch.tensor([3, 3])))).numpy().astype(int)
    assert np.abs(interpolate(G, [0, 1], 3, label=3).images[0, [0, -1]] - fixed).max() <= 1


def test_a_jump_is_flagged_and_nothing_else() -> None:
    walked = interpolate(Jumping(), jumping_seeds(), 9)  # type: ignore[arg-type]
    assert sorted(walked.scores[0]) == [0] * 7 + [1]
    assert walked.jumps.sum() == 1
    assert walked.unevenness[0] == 8
    (path,) = walked.as_dict()["paths"]
    assert path["jumps"] == [int(walked.scores[0].argmax())]
    red = [axes for axes in draw_interpolation(walked).axes if same_color(axes.spines["top"].get_edgecolor(), JUMP)]
    assert [axes.get_xlabel() for axes in red] == ["1.000"]


def test_a_threshold_is_not_exceeded_by_itself() -> None:
    walked = interpolate(Jumping(), jumping_seeds(), 3, threshold=1.0)  # type: ignore[arg-type]
    assert walked.scores.max() == 1
    assert not walked.jumps.any()


def test_scores_do_not_wrap_around() -> None:
    assert step_scores(np.array([255, 0, 51], np.uint8).reshape(1, 3, 1, 1, 1)).tolist() == [[1.0, 0.2]]


def test_animation_goes_there_and_back(make_generator: Make, tmp_path: Path) -> None:
    walked = interpolate(make_generator(), [0, 1, 2], 4)
    save_animation(walked, tmp_path / "new" / "walk.gif")
    with Image.open(tmp_path / "new" / "walk.gif") as gif:
        assert gif.n_frames == 7 + 5  # type: ignore[attr-defined]
        assert gif.size == (256, 256)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seeds": [1]}, "1 seeds"),
        ({"seeds": [1, 1]}, "follows itself"),
        ({"steps": 1}, "steps 1"),
        ({"space": "w", "linear": True}, "no effect in w"),
        ({"space": "x"}, "expected z or w"),
        ({"threshold": -0.1}, "threshold -0.1"),
        ({"threshold": float("nan")}, "threshold nan"),
    ],
)
def test_paths_that_cannot_be(settings: dict[str, Any], expected: str, make_generator: Make) -> None:
    with pytest.raises(ValueError, match=expected):
        interpolate(make_generator(), **{"seeds": [0, 1], **settings})
