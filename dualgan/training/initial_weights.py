"""Starting a training from networks that exist already."""

import os
from typing import Any

from pytorch_lightning.utilities import rank_zero_warn

from dualgan.networks import Network
from dualgan.networks.classes import classes_of
from dualgan.training.players import Players
from dualgan.weights.building import shape_differences, shapes_of
from dualgan.weights.checkpoints import read_networks, state_of

# Which networks of the file a player may come from, the best first.
SOURCES = {
    "generator": ("generator", "generator_ema"),
    "generator_ema": ("generator_ema", "generator"),
    "discriminator": ("discriminator",),
}


def start_from(players: Players, path: str | os.PathLike[str]) -> None:
    """Give the players the weights of a .ckpt, .safetensors or official .pkl file; everything else starts anew.

    A generator that the file has only once serves as trained and as averaged one. A discriminator that it has not
    keeps its random weights, with a warning.

    Raises:
        ValueError: The file cannot be read, or its networks have other shapes than the configured ones.
    """
    content = read_networks(path)
    for name, sources in SOURCES.items():
        network = players.get_submodule(name)
        assert isinstance(network, Network)
        state = next((found for source in sources if (found := state_of(content, source))), None)
        if state is None:
            reason = content["dualgan"].get("left_out", {}).get(name, "it has only generators")
            rank_zero_warn(f"{path} holds no {name} ({reason}): the {name} starts from random weights")
            continue
        if problems := shape_differences(shapes_of(state), shapes_of(network.state_dict()), "the configuration"):
            raise ValueError(
                f"the {name} of {path} does not fit the configured one ({len(problems)} differences, for instance: "
                f"{'; '.join(problems[:3])}). Configure what the file has: "
                f"{_in_words(content['dualgan'][name.removesuffix('_ema')])}"
            )
        network.load_state_dict(state)
    num_classes, classes = players.generator.num_classes, content["dualgan"].get("classes")
    players.generator.classes = classes_of(classes, num_classes, str(path))  # until the data say their own
    _warn_of_other_settings(players, content["dualgan"], path)


def _in_words(description: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in description["init_args"].items() if value is not None)
    return f"{description['class_name']} with {settings}"


def _warn_of_other_settings(players: Players, header: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Name settings that no shape shows, such as conv_clamp."""
    for name in ("generator", "discriminator"):
        network = players.get_submodule(name)
        assert isinstance(network, Network)
        made = header.get(name, {}).get("init_args", {})
        differing = [key for key, value in network.init_args.items() if key in made and made[key] != value]
        if differing:
            values = ", ".join(f"{key} {made[key]!r} ({network.init_args[key]!r} configured)" for key in differing)
            rank_zero_warn(f"the {name} of {path} was made with {values}: it may give other results here")
