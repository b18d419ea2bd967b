"""Attention maps during training."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan import load_generator
from dualgan.callbacks import AttentionMaps
from dualgan.networks.attention import DFN, SAN
from dualgan.pictures.figures import render
from dualgan.studies.attention import draw_attention
from tests.conftest import TINY, RunCLI
from tests.tiny import generator, tiny_gan, train

SAN_AT_8 = ("--model.generator.attention", "SAN", "--model.generator.attention_resolution", 8)
POSITIONS = [(0.25, 0.5), (0.7, 0.3)]


def build(attention: Any) -> Any:
    return partial(generator, attention=attention, attention_resolution=8)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_a_run_shows_the_averaged_generator_at_the_asked_times(run_cli: RunCLI) -> None:
    words = ("--attention_maps.positions", str([list(p) for p in POSITIONS]), "--attention_maps.seeds", 2)
    every = ("--attention_maps.every_kimg", 0.016, "--model.total_kimg", 0.04)
    run_cli.succeeds("fit", *TINY, *SAN_AT_8, *words, *every, "--run_dir", "run")
    times = ("0.000", "0.016", "0.032", "0.040")
    assert names(Path("run/attention")) == [f"kimg_0000{kimg}.png" for kimg in times]
    G = load_generator("run/checkpoints/last.ckpt")
    expected = render(draw_attention(G, [0, 1], POSITIONS))
    assert (picture(Path("run/attention/kimg_00000.040.png")) == expected).all()


def test_a_resumed_run_takes_the_options_from_its_configuration(run_cli: RunCLI) -> None:
    words = ("--attention_maps.positions", "[[0.25,0.5]]", "--attention_maps.seeds", 1)
    run_cli.succeeds("fit", *TINY, *SAN_AT_8, *words, "--run_dir", "run", "--trainer.max_steps", 1)
    again = ("--config", "run/config.yaml", "--ckpt_path", "last", "--trainer.max_steps", -1)
    run_cli.succeeds("fit", *again)
    assert names(Path("run/attention")) == [f"kimg_00000.{kimg}.png" for kimg in ("000", "008", "016")]
    assert len({picture(path).shape for path in Path("run/attention").iterdir()}) == 1


def test_drawing_leaves_the_training_alone(tmp_path: Path) -> None:
    states: list[dict[str, torch.Tensor]] = []
    for callbacks in ([], [AttentionMaps(every_kimg=0.008, seeds=1, positions=[(0.5, 0.5)])]):
        torch.manual_seed(len(states))  # the training's numbers come from its own seed
        gan = tiny_gan(generator=build(SAN))
        train(gan, 2, callbacks=callbacks, default_root_dir=tmp_path)
        states.append(gan.state_dict())
    assert len(names(tmp_path / "attention")) == 3
    assert states[0].keys() == states[1].keys()
    assert not [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]


@pytest.mark.parametrize("attention", [None, DFN])
def test_a_generator_without_maps_gets_none(attention: Any, tmp_path: Path) -> None:
    gan = tiny_gan() if attention is None else tiny_gan(generator=build(attention))
    train(gan, 1, callbacks=[AttentionMaps()], default_root_dir=tmp_path)  # warnings are errors here
    assert not (tmp_path / "attention").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("every_kimg", 1.0), ("seeds", 2), ("positions", [(0.5, 0.5)]), ("truncation_psi", 0.5)],
)
def test_options_without_effect_are_warned_about(option: str, value: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=rf"attention_maps.{option} set without effect: .*no attention"):
        train(tiny_gan(), 1, callbacks=[AttentionMaps(**{option: value})], default_root_dir=tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("every_kimg", 0, "attention_maps.every_kimg 0"),
        ("seeds", 0, "attention_maps.seeds 0"),
        ("positions", "[[0.5,1.5]]", "attention_maps.positions: position 0.5,1.5"),
        ("positions", "[[0.5]]", "attention_maps.positions"),
    ],
)
def test_bad_settings(option: str, value: object, expected: str, run_cli: RunCLI) -> None:
    assert expected in run_cli.fails("fit", *TINY, *SAN_AT_8, f"--attention_maps.{option}", value)
