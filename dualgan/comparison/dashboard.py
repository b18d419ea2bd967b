"""A W&B workspace for runs of dualgan: what is logged, in sections, over kimg."""

import warnings
from types import ModuleType
from typing import Any

from dualgan.metrics import EfficientNetLite0
from dualgan.metrics.names import SECTION
from dualgan.metrics.table import spec_of, usual_metrics

NAME = "dualgan"

SCALARS = {
    "losses": {
        "Discriminator loss": "loss/discriminator",
        "Generator loss": "loss/generator",
        "R1 penalty": "loss/r1",
        "R2 penalty": "loss/r2",
        "Gradient penalty": "loss/gradient_penalty",
        "Path length penalty": "loss/path_length",
        "Mean path length": "path_length/mean",
        "Gradient norm of D": "gradient_norm/discriminator",
        "Gradient norm of G": "gradient_norm/generator",
        "Minibatches that were not finite": "train/non_finite",
    },
    "contrast": {
        "Margin between real and generated logits": "contrast/margin",
        "Dual contrastive loss above chance": "contrast/loss_above_chance",
        "Mean logit of real images": "logits/real",
        "Mean logit of generated images": "logits/fake",
    },
    "speed": {"Images per second": "train/images_per_second"},
}
MEDIA = {"Samples": "samples", "Attention maps": "attention"}


def quality() -> dict[str, list[str]]:
    """Titles and names of the metrics that every run logs, made by Inception-v3 or by what stands in for it."""
    return {
        spec.about.capitalize(): [
            SECTION + name.replace("*", EfficientNetLite0.name) for n in spec.numbers for name in n.reported_names
        ]
        for spec in map(spec_of, usual_metrics())
    }


def load_extra() -> tuple[ModuleType, ModuleType]:
    """The modules for workspaces and for panels of the optional package wandb-workspaces.

    Raises:
        ValueError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its own, about pydantic
            import wandb_workspaces.reports.v2 as panels
            import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ValueError(
            "the dashboard needs the package wandb-workspaces, which is not installed: pip install 'dualgan[dashboard]'"
        ) from error
    return workspaces, panels


def build_workspace(entity: str, project: str, name: str = NAME) -> Any:
    """The workspace of an entity's project, not saved anywhere: samples, quality, losses, contrast and speed.

    Raises:
        ValueError: wandb-workspaces is not installed.
    """
    workspaces, panels = load_extra()

    def line(title: str, *names: str) -> Any:
        return panels.LinePlot(title=title, x="kimg", y=list(names), title_x="kimg")

    pictures = [panels.MediaBrowser(title=title, media_keys=[key], num_columns=1) for title, key in MEDIA.items()]
    scalars = {section: [line(title, name) for title, name in plots.items()] for section, plots in SCALARS.items()}
    sections = {"samples": pictures, "quality": [line(title, *names) for title, names in quality().items()], **scalars}
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=title, panels=own, is_open=True) for title, own in sections.items()],
        settings=workspaces.WorkspaceSettings(x_axis="kimg"),
    )
