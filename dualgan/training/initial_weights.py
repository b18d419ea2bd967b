"""Starting a training from networks that exist already."""

import os
from collections.abc import Collection, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from dualgan.networks import Network, spectral
from dualgan.networks.base import build_network
from dualgan.networks.classes import classes_of
from dualgan.networks.layers import EqualizedLinear
from dualgan.terminal.console import say
from dualgan.training.players import Players
from dualgan.training.two_players import TwoPlayers
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

Numbers = dict[str, tuple[int, int]]
"""Classes that both the file and the players have, by name: their numbers there and here."""


def start_from(players: TwoPlayers, path: str | os.PathLike[str], classes: Sequence[str] = ()) -> None:
    """Give the players the weights of a .ckpt, .safetensors or official .pkl file; everything else starts anew.

    A generator that the file has only once serves as trained and as averaged one. A discriminator that it has not
    keeps its random weights, with a warning. Networks of another resolution, number of channels or of classes give what
    fits: it is said which layers start anew. Where the number of classes differs, those of the same name keep theirs.

    Args:
        players: The players.
        path: The file.
        classes: Names of their classes in the order of their numbers, which are the names where these are not known.

    Raises:
        ValueError: The file cannot be read, its networks differ from the configured ones in more than these, or it has
            nothing of the blocks of D that are to be frozen.
    """
    content = read_networks(path)
    num_classes, header = players.generator.num_classes, content["dualgan"]
    number_before = header.get("generator", {}).get("init_args", {}).get("num_classes", 0)
    before = classes_of(header.get("classes"), number_before, str(path))
    names_before = [one.name for one in before] or [str(k) for k in range(number_before)]
    kept = _in_both(names_before, classes or [str(k) for k in range(num_classes)])
    anew = {name: _give(players.get_submodule(name), name, content, str(path), kept) for name in SOURCES}
    players.freeze_what_came_from(str(path), anew["discriminator"])
    players.generator.classes = before if number_before == num_classes else ()  # until the data say their own
    _warn_of_other_settings(players, header, path)


def _in_both(before: Sequence[str], now: Sequence[str]) -> Numbers:
    return {name: (before.index(name), now.index(name)) for name in now if name in before}


def _give(network: nn.Module, name: str, content: dict[str, Any], path: str, classes: Numbers) -> set[str]:
    """Give a network what the content of a file has of it; returns the names of what starts anew."""
    assert isinstance(network, Network)
    state = next((found for source in SOURCES[name] if (found := state_of(content, source))), None)
    if state is None:
        reason = content["dualgan"].get("left_out", {}).get(name, "it has only generators")
        rank_zero_warn(f"{path} holds no {name} ({reason}): the {name} starts from random weights")
        return set(network.state_dict())
    description = content["dualgan"][name.removesuffix("_ema")]
    problems = shape_differences(shapes_of(state), shapes_of(network.state_dict()), "the configuration")
    if problems and not _differs_as_it_may(description, network):
        raise ValueError(
            f"the {name} of {path} does not fit the configured one ({len(problems)} differences, for instance: "
            f"{'; '.join(problems[:3])}). Only {', '.join(ADAPTABLE)} may differ. Configure what the file has: "
            f"{_in_words(description)}"
        )
    return _take(network, state, name, path, classes)


def _differs_as_it_may(description: dict[str, Any], network: Network) -> bool:
    """Whether a network that is described differs from another in nothing but what layers may start anew for."""
    own, other = network.describe(), description["init_args"]
    same = {name: value for name, value in own["init_args"].items() if name not in ADAPTABLE and name in other}
    return description["class_name"] == own["class_name"] and all(other[name] == same[name] for name in same)


def _take(network: Network, state: dict[str, Tensor], name: str, path: str, classes: Numbers) -> set[str]:
    """Load what fits, and say what did not; returns the names of what starts anew."""
    own = network.state_dict()
    taken = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if WIDENED in own and WIDENED in state and WIDENED not in taken:
        taken[WIDENED] = _widened(state[WIDENED], own[WIDENED])
    axes = class_axes(network) if classes and network.num_classes else {}
    of_classes = [
        key for key, axis in sorted(axes.items()) if key not in taken and _fits(state.get(key), own[key], axis)
    ]
    for key in of_classes:
        taken[key] = _of_classes(state[key], own[key], axes[key], list(classes.values()), _layer(network, key))
    network.load_state_dict(own | taken)
    for layer in {_layer(network, key) for key in of_classes}:
        spectral.settle(layer)
    anew, unused = sorted(own.keys() - taken.keys()), sorted(state.keys() - taken.keys())
    if anew or unused or of_classes:
        notes = [f"{len(taken)} of {len(own)} tensors are those of {path}"]
        notes += [f"anew: {', '.join(anew)}"] if anew else []
        notes += [f"of no use here: {', '.join(unused)}"] if unused else []
        notes += [f"{_some(of_classes)}: those of {_some(classes)}, anew for other classes"] if of_classes else []
        say(f"{name}: {'; '.join(notes)}")
    return set(anew)


def class_axes(network: Network) -> dict[str, int]:
    """Tensors with a place for every class, by name: the axis that these are along."""
    description = network.describe()
    more = description["init_args"] | {"num_classes": description["init_args"]["num_classes"] + 1}
    with torch.device("meta"):
        shapes = shapes_of(build_network(description | {"init_args": more}).state_dict())
    return {
        name: next(
            axis for axis, (one, other) in enumerate(zip(value.shape, shapes[name], strict=True)) if one != other
        )
        for name, value in network.state_dict().items()
        if value.shape != shapes[name]
    }


def _fits(found: Tensor | None, fresh: Tensor, axis: int) -> bool:
    """Whether a tensor is like another but for the number of classes."""
    if found is None or found.dim() != fresh.dim():
        return False
    return all(k == axis or one == other for k, (one, other) in enumerate(zip(found.shape, fresh.shape, strict=True)))


def _layer(network: Network, key: str) -> nn.Module:
    """The layer that a tensor belongs to, normalised or not."""
    layer, parametrized, _ = key.partition(".parametrizations.")
    return network.get_submodule(layer if parametrized else key.rpartition(".")[0])


def _some(classes: Collection[str], most: int = 10) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return ", ".join(list(classes)[:most]) + more


def _widened(weight: Tensor, fresh: Tensor) -> Tensor:
    """The first layer [w, z + embedding] of a mapping network for another, or no, class embedding.

    It does to z what it did: the layer divides by the root of its width, and starts without an influence of the class.
    """
    shared = min(weight.shape[1], fresh.shape[1])
    widened = torch.zeros_like(fresh)
    widened[:, :shared] = weight[:, :shared] * (fresh.shape[1] / weight.shape[1]) ** 0.5
    return widened


def _of_classes(found: Tensor, fresh: Tensor, axis: int, numbers: list[tuple[int, int]], layer: nn.Module) -> Tensor:
    """A tensor of a layer with a place for every class along an axis, with what is found of classes that both have.

    The other classes start anew. A dense layer of classes divides by the root of their number, and does what it did.
    """
    before, now = zip(*numbers, strict=True)
    scale = (fresh.shape[axis] / found.shape[axis]) ** 0.5 if isinstance(layer, EqualizedLinear) and axis else 1.0
    return fresh.index_copy(axis, torch.tensor(now), scale * found.index_select(axis, torch.tensor(before)))


def _in_words(description: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in description["init_args"].items() if value is not None)
    return f"{description['class_name']} with {settings}"


def _warn_of_other_settings(players: Players, header: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Name settings that no shape shows, such as conv_clamp; of others it has been said what starts anew."""
    for name in ("generator", "discriminator"):
        network = players.get_submodule(name)
        assert isinstance(network, Network)
        made = header.get(name, {}).get("init_args", {})
        differing = [
            key
            for key, value in network.init_args.items()
            if key in made and made[key] != value and key not in ADAPTABLE
        ]
        if differing:
            values = ", ".join(f"{key} {made[key]!r} ({network.init_args[key]!r} configured)" for key in differing)
            rank_zero_warn(f"the {name} of {path} was made with {values}: it may give other results here")
