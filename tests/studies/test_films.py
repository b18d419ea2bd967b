"""Frames of films of latents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dualgan.networks import StyleGAN2Generator
from dualgan.networks.sampling import generate
from dualgan.studies.films import (
    Cell,
    Easing,
    eased,
    near_square,
    network_of_latents,
    psi_captions,
    read_latents,
    timeline,
    truncation_cells,
    walk_frames,
)
from dualgan.studies.interpolate import interpolate
from dualgan.studies.styles import styles_of, synthesize
from dualgan.studies.walks import walk_of_seeds

Make = Callable[..., StyleGAN2Generator]


def shown(generator: StyleGAN2Generator, seeds: list[int], **settings: Any) -> np.ndarray:
    return torch.cat(list(generate(generator, seeds, **settings))).numpy().astype(int)


def film(generator: StyleGAN2Generator, cells: list[Cell], columns: int, when: Any) -> np.ndarray:
    return np.stack([frame.image for frame in walk_frames(generator, cells, columns, when)]).astype(int)


@pytest.mark.parametrize("easing", get_args(Easing))
def test_easings_lead_from_start_to_end_and_never_back(easing: Easing) -> None:
    path = eased(torch.linspace(0, 1, 101, dtype=torch.float64), easing)
    assert path[[0, 50, 100]].tolist() == pytest.approx([0, 0.5, 1])
    steps = path.diff()
    assert (steps > 0).all()
    rests = float(steps[0] / steps[50])
    assert rests == pytest.approx(1) if easing == "linear" else rests < 0.05


def test_a_film_that_begins_anew_shows_its_first_keyframe_once() -> None:
    closed = timeline(4, 5, "linear", with_end=False)
    assert closed.segments.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert closed.fractions.tolist() == [0, 0.2, 0.4, 0.6, 0.8] * 3
    once = timeline(4, 5, "linear", with_end=True)
    assert (once.segments.tolist()[-1], once.fractions.tolist()[-1], len(once.segments)) == (2, 1, 16)


@pytest.mark.parametrize(("space", "linear"), [("z", False), ("z", True), ("w", False)])
def test_a_film_walks_as_interpolate_does(space: Any, linear: bool, make_generator: Make) -> None:
    G = make_generator()
    cell = Cell(walk_of_seeds(G, [3, 1, 2], space, linear=linear, truncation_psi=0.8))
    frames = film(G, [cell], 1, timeline(3, 4, "linear", with_end=True))
    walked = interpolate(G, [3, 1, 2], 5, space, linear=linear, truncation_psi=0.8).images.astype(int)
    assert np.abs(frames - np.concatenate([walked[0], walked[1, 1:]])).max() <= 1


@pytest.mark.parametrize("count", [2, 20])
def test_cells_of_the_grid_walk_at_once(count: int, make_generator: Make) -> None:
    G = make_generator(num_classes=3)
    cells = [Cell(walk_of_seeds(G, [k, k + 50], label=1)) for k in range(count)]
    frames = film(G, cells, 2, timeline(2, 3, "smooth", with_end=True))
    assert frames.shape == (4, count // 2 * 8, 16, 3)
    for k in (0, count - 1):
        row, column = divmod(k, 2)
        cell = frames[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        ends = shown(G, [k, k + 50], labels=torch.tensor([1, 1]))
        assert np.abs(cell[[0, -1]] - ends).max() <= 1


def test_a_sweep_shows_every_truncation_and_says_it(make_generator: Make) -> None:
    G = make_generator()
    G.mapping.w_avg.copy_(torch.linspace(-1, 1, G.w_dim))
    G.mapping.w_avg_updates.fill_(10**6)
    when = timeline(2, 2, "linear", with_end=True)
    frames = film(G, truncation_cells(G, [5, 6], [0, 1]), 2, when)
    for frame, psi in zip(frames, (0, 0.5, 1), strict=True):
        images = shown(G, [5, 6], truncation_psi=psi)
        assert np.abs(frame - np.concatenate(list(images), axis=1)).max() <= 1
    assert (frames[0, :, :8] == frames[0, :, 8:]).all()
    assert psi_captions([0, 1], when) == [f"truncation psi {psi}" for psi in ("0.00", "0.50", "1.00")]


def saved(path: Path, **tensors: Tensor) -> str:
    save_file({name.replace("__", "."): value.contiguous() for name, value in tensors.items()}, path)
    return str(path)


def test_saved_latents_are_keyframes(make_generator: Make, tmp_path: Path) -> None:
    G = make_generator()
    ws = styles_of(G, [0, 1, 2, 3]).clone()
    files = [saved(tmp_path / f"{k}.safetensors", ws=ws[2 * k : 2 * k + 2]) for k in range(2)]
    latents = read_latents(files, G)
    once = film(G, latents.cells(2, closed=False), 2, timeline(2, 2, "smooth", with_end=True))
    images = shown(G, [0, 1, 2, 3])
    assert np.abs(once[0] - np.concatenate([images[0], images[2]], axis=1)).max() <= 1
    assert np.abs(once[-1] - np.concatenate([images[1], images[3]], axis=1)).max() <= 1
    closed = film(G, latents.cells(1, closed=True), 1, timeline(5, 2, "smooth", with_end=False))
    assert np.abs(closed[::2] - images).max() <= 1
    assert len(closed) == 8


def test_noise_maps_walk_along_and_keep_their_deviation(make_generator: Make, tmp_path: Path) -> None:
    G = make_generator()
    buffers = G.synthesis.named_buffers()
    name = next(name for name, buffer in buffers if name.endswith("noise_const") and len(buffer) == 8)
    maps, ws = torch.randn(2, 8, 8), styles_of(G, [0, 1]).clone()
    path = tmp_path / "found.safetensors"
    save_file({"ws": ws.contiguous(), f"noise.{name}": maps}, path)
    (cell,) = read_latents([str(path)], G).cells(1, closed=False)
    frames = film(G, [cell], 1, timeline(2, 2, "smooth", with_end=True))
    for k, frame in ((0, frames[0]), (1, frames[-1])):
        image = synthesize(G, ws[k : k + 1], {name: maps[k]})[0]
        assert np.abs(frame - (image * 127.5 + 128).clamp(0, 255).int().permute(1, 2, 0).numpy()).max() <= 1
    middle = cell.noise[name].styles(torch.tensor([0]), torch.tensor([0.5], dtype=torch.float64))
    assert middle.square().mean().sqrt() == pytest.approx(float(maps.square().mean().sqrt()), rel=0.1)


def test_files_that_are_no_latents_of_this_generator(make_generator: Make, tmp_path: Path) -> None:
    G = make_generator()
    ws = styles_of(G, [0, 1]).clone()
    (tmp_path / "text").write_text("no latents")
    refused = {
        str(tmp_path / "nowhere"): "no latents at .*nowhere",
        str(tmp_path): "is a folder: give",
        str(tmp_path / "text"): "cannot read .*text as safetensors",
        saved(tmp_path / "a", weight=ws): "holds no latents",
        saved(tmp_path / "b", ws=ws[..., :-1]): r"this generator takes \[N, ",
        saved(tmp_path / "c", ws=ws * float("nan")): "NaN or infinity",
        saved(tmp_path / "d", ws=ws, noise__b8=torch.zeros(2, 8, 8)): "noise maps b8",
    }
    for file, said in refused.items():
        with pytest.raises(ValueError, match=said) as told:
            read_latents([file], G)
        assert "'dualgan project' or the page of 'dualgan explore'" in str(told.value)
    others = tmp_path / "others"
    save_file({"ws": ws.contiguous()}, others, metadata={"checkpoint": "other", "network": "0" * 16})
    with pytest.raises(ValueError, match="others has latents of 'other', whose mapping network is another one: give"):
        read_latents([str(others)], G)
    save_file({"ws": ws.contiguous()}, others, metadata={"network": network_of_latents(G)})
    assert torch.equal(read_latents([str(others)], G).styles, ws)
    names = [name for name, _ in G.synthesis.named_buffers() if name.endswith("noise_const")]
    maps = G.synthesis.get_buffer(names[0]).expand(2, -1, -1)
    save_file({"ws": ws.contiguous(), f"noise.{names[0]}": maps.contiguous()}, tmp_path / "e")
    with pytest.raises(ValueError, match="differ in their noise maps"):
        read_latents([str(tmp_path / "e"), saved(tmp_path / "f", ws=ws)], G)


def test_grids_are_about_square() -> None:
    assert [near_square(n) for n in (1, 2, 4, 5, 16)] == [1, 2, 2, 3, 4]
