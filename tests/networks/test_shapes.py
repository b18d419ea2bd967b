"""Networks of shapes alone are those with numbers, without them."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from dualgan.networks import Network
from dualgan.networks.shapes import shapes_only
from dualgan.weights.building import shapes_of
from tests.backbones import BACKBONES

PLAYERS: dict[str, tuple[Callable[..., Network], int]] = {
    f"{name} {player}": (getattr(backbone, player), backbone.resolution)
    for name, backbone in BACKBONES.items()
    for player in ("generator", "discriminator")
}


@pytest.mark.parametrize("name", PLAYERS)
def test_shapes_and_kinds_are_the_same_and_nothing_is_drawn(name: str) -> None:
    make, resolution = PLAYERS[name]
    whole = make(resolution=resolution, num_channels=3, num_classes=0).state_dict()
    before = torch.get_rng_state()
    with shapes_only():
        empty = make(resolution=resolution, num_channels=3, num_classes=0).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert shapes_of(empty) == shapes_of(whole)
    assert {key: value.dtype for key, value in empty.items()} == {key: value.dtype for key, value in whole.items()}
    assert all(value.is_meta for value in empty.values())


def test_whole_numbers_that_are_divided_are_whole_no_more() -> None:
    with shapes_only():
        assert (torch.ones(2, dtype=torch.int64) / 2).dtype == torch.float32
        assert (torch.ones(2, 1) * torch.ones(3)).shape == (2, 3)


def test_no_network_brings_the_compiler() -> None:
    """Torch imports it for some functions of shapes, and who reads a file would wait for it."""
    made = (make(resolution=resolution, num_channels=3, num_classes=0) for make, resolution in PLAYERS.values())
    descriptions = [network.describe() for network in made]
    code = (
        "import json, sys; from dualgan.weights.building import skeleton\n"
        "for one in json.loads(sys.argv[1]):\n"
        "    skeleton(one, 'the file')\n"
        "    for name in {'torch._dynamo', 'sympy'} & set(sys.modules):\n"
        "        sys.exit(f'{one[\"class_name\"]} imports {name}')"
    )
    ended = subprocess.run([sys.executable, "-c", code, json.dumps(descriptions)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
