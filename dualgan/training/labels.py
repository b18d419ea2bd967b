"""Classes of the images that are generated in training."""

from typing import Literal

import torch
from torch import Tensor, nn

LabelSource = Literal["dataset", "batch"]


class FakeLabels(nn.Module):
    """Draws the classes of generated images.

    Args:
        num_classes: Number of classes; 0 for none.
        source: "dataset" draws each from the data set's labels, as StyleGAN2-ADA does; "batch" takes those of the real
            images of the step.

    Raises:
        ValueError: Unknown source.
    """

    frequencies: Tensor

    def __init__(self, num_classes: int, source: LabelSource) -> None:
        super().__init__()
        if source not in ("dataset", "batch"):
            raise ValueError(f"unknown fake_labels {source!r}: expected 'dataset' or 'batch'")
        self.num_classes, self.source = num_classes, source
        self.register_buffer("frequencies", torch.ones(num_classes), persistent=False)

    def learn(self, counts: Tensor | None) -> str | None:
        """Take the number of images of every class [num_classes].

        Returns:
            A sentence where they are not known, or the source has no effect.

        Raises:
            ValueError: There are more or fewer classes.
        """
        if not self.num_classes:
            return None if self.source == "dataset" else "fake_labels 'batch' has no effect: there are no classes"
        if counts is not None:
            if len(counts) != self.num_classes:
                raise ValueError(
                    f"num_classes {self.num_classes} of the model does not fit the data, which has {len(counts)} "
                    f"classes: build the model with the data's num_classes"
                )
            self.frequencies.copy_(counts)
        elif self.source == "dataset":
            self.source = "batch"
            return (
                "the classes of generated images are those of the real ones of each step: without a data module the "
                "classes of the data set are not known. Set fake_labels to 'batch' if that is meant"
            )
        return None

    @property
    def like_the_batch(self) -> bool:
        """Whether generated images have the classes of the real ones of the step."""
        return self.source == "batch" or not self.num_classes

    def draw(self, count: int, labels: Tensor | None) -> Tensor | None:
        """Class indices [count], from torch's generator or from `labels` of the step; None without classes."""
        if not self.num_classes:
            return None
        return labels if self.source == "batch" else torch.multinomial(self.frequencies, count, replacement=True)
