"""Starting a training from networks that exist already."""

import os
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from dualgan.networks import Network
from dualgan.networks.classes import classes_of
from dualgan.terminal.console import say
from dualgan.training.players import Players
from dualgan.weights.building import shape_differences, shapes_of
from dualgan.weights.checkpoints import read_networks, state_of

# Which networks of the file a player may come from, the best first.
SOURCES = {
    "generator": ("generator", "generator_ema"),
    "generator_ema": ("generator_ema", "generator"),
    "discriminator": ("discriminator",),
}
# What may differ between the file's networks and the configured ones: layers of other shapes start anew then.
ADAPTABLE = ("resolution", "num_channels", "num_classes")
WIDENED = "mapping.fc0.weight"


def start_from(players: Players, path: str | os.PathLike[str]) -> None:
    """Give the players the weights of a .ckpt, .safetensors or official .pkl file; everything else starts anew.

    A generator that the file has only once serves as trained and as averaged one. A discriminator that it has not
    keeps its random weights, with a warning. Networks of another resolution, number of channels or of classes give what
    fits: it is said which layers start anew.

    Raises:
        ValueError: The file cannot be read, or its networks differ from the configured ones in more than these.
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
        description = content["dualgan"][name.removesuffix("_ema")]
        problems = shape_differences(shapes_of(state), shapes_of(network.state_dict()), "the configuration")
        if problems and not _differs_as_it_may(description, network):
            raise ValueError(
                f"the {name} of {path} does not fit the configured one ({len(problems)} differences, for instance: "
                f"{'; '.join(problems[:3])}). Only {', '.join(ADAPTABLE)} may differ. Configure what the file has: "
                f"{_in_words(description)}"
            )
        _take(network, state, name, str(path))
    num_classes, header = players.generator.num_classes, content["dualgan"]
    same = header.get("generator", {}).get("init_args", {}).get("num_classes", 0) == num_classes
    named = header.get("classes") if same else None
    players.generator.classes = classes_of(named, num_classes, str(path))  # until the data say their own
    _warn_of_other_settings(players, content["dualgan"], path)


def _differs_as_it_may(description: dict[str, Any], network: Network) -> bool:
    """Whether a network that is described differs from another in nothing but what layers may start anew for."""
    own, other = network.describe(), description["init_args"]
    same = {name: value for name, value in own["init_args"].items() if name not in ADAPTABLE and name in other}
    return description["class_name"] == own["class_name"] and all(other[name] == same[name] for name in same)


def _take(network: Network, state: dict[str, Tensor], name: str, path: str) -> None:
    """Load what fits, and say what did not."""
    own = network.state_dict()
    taken = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if WIDENED in own and WIDENED in state and WIDENED not in taken:
        taken[WIDENED] = _widened(state[WIDENED], own[WIDENED])
    network.load_state_dict(own | taken)
    anew, unused = sorted(own.keys() - taken.keys()), sorted(state.keys() - taken.keys())
    if anew or unused:
        notes = [f"{len(taken)} of {len(own)} tensors are those of {path}"]
        notes += [f"anew: {', '.join(anew)}"] if anew else []
        notes += [f"of no use here: {', '.join(unused)}"] if unused else []
        say(f"{name}: {'; '.join(notes)}")


def _widened(weight: Tensor, fresh: Tensor) -> Tensor:
    """The first layer [w, z + embedding] of a mapping network for another, or no, class embedding.

    It does to z what it did: the layer divides by the root of its width, and starts without an influence of the class.
    """
    shared = min(weight.shape[1], fresh.shape[1])
    widened = torch.zeros_like(fresh)
    widened[:, :shared] = weight[:, :shared] * (fresh.shape[1] / weight.shape[1]) ** 0.5
    return widened


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
