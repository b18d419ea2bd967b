"""Style mixing: images whose layers take the styles of two seeds (StyleGAN, section 3.1 and Fig. 3)."""

# R rows, K columns, H W C image

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from dualgan.networks import Generator
from dualgan.networks.mapping import with_mapping
from dualgan.pictures.figures import COLOURS, MAX_ROWS, Panel, image_table
from dualgan.studies.styles import checked_layers, images_of_styles, in_layers, in_ranges, styles_of

OF_ROW, OF_COLUMN = COLOURS[3], COLOURS[1]


@dataclass(frozen=True)
class MixedStyles:
    """Images of two lists of seeds and of all pairs of them.

    Attributes:
        rows: Seeds that give an image's styles but for some layers.
        columns: Seeds that give the styles of these layers.
        layers: The layers.
        row_images: uint8 [R, H, W, C].
        column_images: uint8 [K, H, W, C].
        images: uint8 [R, K, H, W, C].
    """

    rows: list[int]
    columns: list[int]
    layers: list[int]
    row_images: np.ndarray
    column_images: np.ndarray
    images: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pixels as plain data."""
        return {"rows": self.rows, "columns": self.columns, "layers": self.layers}


def mix_styles(
    generator: Generator,
    rows: Sequence[int],
    columns: Sequence[int],
    layers: Sequence[int] | None = None,
    *,
    label: int | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> MixedStyles:
    """Generate the images of all pairs of two lists of seeds, with constant noise.

    With classes a style is that of a seed and its class: the layers of a column's seed bring its class along.

    Args:
        generator: Runs where its parameters are.
        rows: Seeds of the rows, 1 to 32.
        columns: Seeds of the columns, 1 to 32.
        layers: Those that take the column's style, counted from 0 at 4x4 on; the first half by default.
        label: Class of all seeds; by default each draws its own where the generator has classes.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.

    Raises:
        ValueError: The generator has no mapping network, or seeds, layers, label or truncation do not fit.
    """
    check_pairs(rows, columns)
    mapped = with_mapping(generator, "style mixing")
    chosen = checked_layers(range(mapped.active_ws // 2) if layers is None else layers, mapped)
    truncation: dict[str, Any] = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    of_rows, of_columns = (styles_of(mapped, seeds, label=label, **truncation) for seeds in (rows, columns))
    mixed = torch.where(in_layers(chosen, of_rows), of_columns[None], of_rows[:, None])  # [R, K, num_ws, w_dim]
    images = images_of_styles(mapped, torch.cat([of_rows, of_columns, mixed.flatten(0, 1)]), "Mixing")
    first, second, pairs = np.split(images, [len(rows), len(rows) + len(columns)])
    pairs = pairs.reshape(len(rows), len(columns), *images.shape[1:])
    return MixedStyles(list(rows), list(columns), chosen, first, second, pairs)


def check_pairs(rows: Sequence[int], columns: Sequence[int]) -> None:
    """Refuse lists of seeds that no sheet has room for.

    Raises:
        ValueError: One is empty or too long.
    """
    for name, seeds in (("rows", rows), ("columns", columns)):
        if not 1 <= len(seeds) <= MAX_ROWS:
            raise ValueError(f"{len(seeds)} seeds for the {name}: a sheet has room for 1 to {MAX_ROWS}")


def draw_mixed(mixed: MixedStyles) -> Figure:
    """The columns' own images at the top, the rows' own at the left, and their pairs between."""
    top = [Panel(x, f"seed {s}", OF_COLUMN, 2) for s, x in zip(mixed.columns, mixed.column_images, strict=True)]
    rows = [
        [Panel(own, f"seed {seed}", OF_ROW, 2), *map(Panel, pairs)]
        for seed, own, pairs in zip(mixed.rows, mixed.row_images, mixed.images, strict=True)
    ]
    title = f"layers {in_ranges(mixed.layers)}: the column's style (blue)\nother layers: the row's (orange)"
    return image_table([[None, *top], *rows], title)
