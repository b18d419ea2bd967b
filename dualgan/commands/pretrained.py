"""`dualgan pretrained`: the trained networks that come with the package."""

from difflib import get_close_matches

from dualgan.commands.shared.verbs import POSITIONAL, command
from dualgan.terminal.tables import aligned
from dualgan.weights.pretrained import Pretrained, pretrained_networks

_HEADER = ("name", "generator", "discriminator", "loss", "kimg", "hours", "MB")


def run(name: str | None = None) -> None:
    """List the trained networks that come with dualgan; every --ckpt and --init_from takes their names.

    Args:
        name: Show the card of this one: data, commands that repeat it, hours, machine, seed, scores, licence.
    """
    networks = pretrained_networks()
    if name is not None:
        print(_card(_chosen(name, networks)))
    elif not networks:
        print("No trained networks come with this version of dualgan.")
    else:
        print(_list(list(networks.values())))


def _chosen(name: str, networks: dict[str, Pretrained]) -> Pretrained:
    if name in networks:
        return networks[name]
    close = get_close_matches(name, networks, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"no pretrained network {name!r}: there are {', '.join(networks) or 'none'}{hint}")


def _list(networks: list[Pretrained]) -> str:
    """A table, and below it each one's sentence and scores."""
    cards = {one: one.card() for one in networks}
    rows, lines = [_HEADER], []
    for one, card in cards.items():
        made = card["training"]
        players = (text.partition(",")[0] for text in made["networks"])
        size = f"{one.file.stat().st_size / 1e6:.1f}"
        rows.append((one.name, *players, made["loss"], f"{made['kimg']:g}", f"{made['hours']:g}", size))
        scores = ", ".join(f"{name} {value:.3g}" for name, value in card["scores"].items())
        lines.append(f"{one.name}: {card['about']}\n  {scores}; licence {card['license']}")
    return "\n".join(
        [aligned(rows, left=4), "", *lines, "", f"'dualgan pretrained {networks[0].name}' shows its card."]
    )


def _card(network: Pretrained) -> str:
    network.card()  # is whole
    text = network.card_file.read_text(encoding="utf-8").rstrip()
    return f"# {network.name}\n# {network.file}\n# {network.picture}\n{text}"


main = command("pretrained", run, name=POSITIONAL)
