"""Networks from descriptions and tensors of files that anyone may have written."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dualgan.networks import Network, build_network
from dualgan.networks.shapes import shapes_only

MAX_LAYERS = 1000  # of a mapping network: a description of a few bytes must not ask for millions


def skeleton(description: Any, source: str) -> Network:
    """The described network without memory for its tensors.

    Args:
        description: Class name and arguments, from any file.
        source: The file, for messages.

    Raises:
        ValueError: No such network, or arguments that it does not take.
    """
    _check_description(description, source)
    try:
        with shapes_only():
            return build_network(description)
    except ValueError as error:
        raise ValueError(f"{source} describes a network that cannot be built: {error}") from error
    except (TypeError, KeyError, RuntimeError, OverflowError, AttributeError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ValueError(f"{source} describes a {description['class_name']} that cannot be built ({reason})") from error


def _check_description(description: Any, source: str) -> None:
    arguments = description.get("init_args") if isinstance(description, dict) else None
    if not isinstance(arguments, dict) or not isinstance(description.get("class_name"), str):
        raise ValueError(f"{source} does not describe its networks: expected class_name and init_args of each")
    layers = arguments.get("mapping_layers", 0)
    if not isinstance(layers, int) or not 0 <= layers <= MAX_LAYERS:
        raise ValueError(f"{source} describes a network with mapping_layers {layers!r}: expected 0 to {MAX_LAYERS}")


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """The shape of every tensor."""
    return {name: value.shape for name, value in state.items()}


def shape_differences(found: Mapping[str, torch.Size], expected: Mapping[str, torch.Size], whose: str) -> list[str]:
    """What keeps tensors of a file from fitting, in words and in the order of the names; `whose` are the expected."""
    problems = [f"{name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name} is superfluous" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(found[name])} in the file and {tuple(expected[name])} in {whose}"
        for name in expected.keys() & found.keys()
        if found[name] != expected[name]
    ]
    return sorted(problems)


def check_fit(found: Mapping[str, torch.Size], network: Network, source: str) -> None:
    """Match the tensors of a file with the network that the file describes.

    Raises:
        ValueError: Names or shapes differ; the message names the first ones.
    """
    problems = shape_differences(found, shapes_of(network.state_dict()), "the network that it describes")
    if problems:
        raise ValueError(
            f"{source} contradicts itself: its tensors do not fit its {type(network).__name__} ({len(problems)} "
            f"differences, for instance: {'; '.join(problems[:3])}). It may be damaged"
        )


def rebuild(description: Any, state: Mapping[str, Tensor], source: str) -> Network:
    """The described network with the given tensors, in eval mode on the CPU, without gradients.

    Raises:
        ValueError: No such network, or tensors that do not fit it.
    """
    check_fit(shapes_of(state), skeleton(description, source), source)  # before memory is taken for it
    network = build_network(description)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
