"""How FakeCLR's forgetting factor spreads its weight over a queue (Li et al., ECCV 2022, supplement, Fig. 2)."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from dualgan.auxiliary.contrast import forgetting_factor
from dualgan.pictures.figures import DPI

COLOURS = ("#000000", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00")  # told apart by colour-blind people too
PANEL = 3.2  # inches
MAX_QUEUE = 100_000  # keys, of which each is a step of the curve


def weights_by_age(queue_size: int, temperature: float, batch_size: int) -> list[float]:
    """Weights m of the keys of a full queue, newest first, where every step adds `batch_size` of one age.

    Raises:
        ValueError: A number is out of range.
    """
    if batch_size < 1 or queue_size < batch_size:
        raise ValueError(
            f"queue size {queue_size} with batch size {batch_size}: expected a queue of at least one batch of 1 or more"
        )
    if queue_size > MAX_QUEUE:
        raise ValueError(f"queue size {queue_size:,} is more than a figure can show: give {MAX_QUEUE:,} at most")
    if not temperature > 0:
        raise ValueError(f"temperature {temperature:g} is out of range: expected a number above 0, such as 0.01")
    iterations = -torch.div(torch.arange(queue_size), batch_size, rounding_mode="floor").double()
    return forgetting_factor(iterations, temperature).tolist()


def study_forgetting(
    queue_sizes: Sequence[int], temperatures: Sequence[float], batch_size: int
) -> list[dict[str, Any]]:
    """Weights for every queue size and temperature, as plain data.

    Raises:
        ValueError: A number is out of range, or there are more temperatures than colours to tell them apart.
    """
    if len(temperatures) > len(COLOURS):
        raise ValueError(
            f"{len(temperatures)} temperatures are more than a figure can show: give {len(COLOURS)} at most"
        )
    return [
        {
            "queue_size": size, "temperature": temperature, "batch_size": batch_size,
            "weights": weights_by_age(size, temperature, batch_size),
        }
        for size in queue_sizes
        for temperature in temperatures
    ]  # fmt: skip


def draw_forgetting(curves: Sequence[dict[str, Any]]) -> Figure:
    """A panel for every queue size, with a curve for every temperature."""
    sizes = list(dict.fromkeys(curve["queue_size"] for curve in curves))
    figure = Figure(figsize=(PANEL * len(sizes), PANEL), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        for colour, curve in zip(COLOURS, (c for c in curves if c["queue_size"] == size), strict=False):
            axes.step(
                range(1, size + 1), curve["weights"], where="mid", color=colour,
                label=f"temperature {curve['temperature']:g}",
            )  # fmt: skip
        axes.axhline(1 / size, color="#808080", linewidth=0.8, linestyle=":")
        axes.set_title(f"queue of {size:,}", fontsize=9)
        axes.set_xlabel("place in the queue, newest first", fontsize=8)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # the usual one writes mathematics, which figures here show as it is
        axes.set_ylim(1e-6, 1)
    panels[0].set_ylabel("weight m", fontsize=8)
    panels[-1].legend(fontsize=7)
    return figure
