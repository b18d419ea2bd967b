"""Instance discrimination beside the adversarial loss: InsGen, FakeCLR and what lies between."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.auxiliary.base import AuxiliaryTask, StepView
from dualgan.auxiliary.contrast import info_nce
from dualgan.auxiliary.method import Enqueued, Forgetting, Preset, method_of
from dualgan.auxiliary.perturbation import Perturbation, perturbed
from dualgan.auxiliary.queue import KeyQueue, whole_batch
from dualgan.networks import Discriminator
from dualgan.runtime.distributed import world_size
from dualgan.runtime.precision import without_autocast
from dualgan.terminal.console import say

SHARE_OF_DATA = 0.05


class Head(nn.Module):
    """Features of D's trunk [N, C, h, w] -> directions [N, d] of length 1."""

    def __init__(self, channels: int, hidden: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the places, two layers, and a length of 1; in float32 under autocast."""
        projected: Tensor = self.layers(features.mean(dim=(2, 3)))
        return F.normalize(projected.float() if projected.dtype == torch.bfloat16 else projected, dim=1)


class Stream(nn.Module):
    """One kind of images: a head, its momentum copy and a queue of keys."""

    def __init__(self, channels: int, hidden: int, width: int, name: str) -> None:
        super().__init__()
        self.head, self.width, self.name = Head(channels, hidden, width), width, name
        self.momentum_head = copy.deepcopy(self.head).requires_grad_(False)
        self.fresh: list[Tensor] = []  # keys of each micro-batch of the step,
        self.real: list[Tensor] = []  # and those of real images, of which some take their place

    def prepare(self, size: int) -> None:
        """Make the queue, of a size that follows from the data."""
        self.queue = KeyQueue(size, self.width, self.name).to(next(self.head.parameters()))


class InstanceDiscrimination(AuxiliaryTask):
    """D's features tell every image from every other, as two views of one image are alike (momentum contrast).

    A view is an image under an augmentation of its own; a generated image's second view may come from a latent
    nearby. Queries are of D and a head, keys of copies of both that follow slowly, negatives of a queue of earlier
    keys.
    Published members of this family are presets; other combinations are as good.

    Sources: Yang et al., "Data-Efficient Instance Generation from Instance Discrimination" (InsGen), NeurIPS 2021;
    Li et al., "FakeCLR: Exploring Contrastive Learning for Solving Latent Discontinuity in Data-Efficient GANs", ECCV
    2022, and its supplement; He et al., "Momentum Contrast", CVPR 2020.

    Args:
        discriminator: D, which must have a trunk.
        preset: instance_real, instance_fake, instance_perturbation, insgen or fakeclr; null takes what is set below.
        real: Weight of real images in D's loss.
        fake: Weight of generated images in D's loss.
        generator: Weight of generated images in G's loss; their views are those of the same image.
        perturbation: What moves the latent of a generated image's second view in D's step: none, isotropic
            (InsGen) or noise_related (FakeCLR).
        perturbation_scale: Its strength; null is 0.15 for isotropic and 0.1 for noise_related.
        forgetting: Weights of generated negatives: none; by age over the queue (queue, FakeCLR's Algorithm 1); or
            1 for all (constant, what its public code computes).
        forgetting_temperature: Of the weights by age; null is 0.01.
        enqueued: What the queue of generated images takes: keys, or queries through the momentum head (InsGen).
        queue_size: Keys in each queue; null is 5 % of the data set with its mirrored images, and at least one
            batch of all devices.
        real_fraction: Part of the keys in the queue of generated images that are of real ones (supplement, Table 5).
        real_from: From which part of the training on, 0 to below 1 (its config B: 0.5).
        temperature: Of the contrast.
        momentum: Of the copies, per step.
        hidden: Width of the head.
        width: Dimensions of its result.

    Raises:
        ValueError: A number is out of range, a setting has no effect, or D has no trunk.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        preset: Preset | None = None,
        real: float | None = None,
        fake: float | None = None,
        generator: float | None = None,
        perturbation: Perturbation | None = None,
        perturbation_scale: float | None = None,
        forgetting: Forgetting | None = None,
        forgetting_temperature: float | None = None,
        enqueued: Enqueued | None = None,
        queue_size: int | None = None,
        real_fraction: float = 0.0,
        real_from: float = 0.0,
        temperature: float = 0.2,
        momentum: float = 0.999,
        hidden: int = 512,
        width: int = 128,
    ) -> None:
        super().__init__(discriminator)
        given: dict[str, Any] = {
            "real": real, "fake": fake, "generator": generator, "perturbation": perturbation,
            "perturbation_scale": perturbation_scale, "forgetting": forgetting,
            "forgetting_temperature": forgetting_temperature, "enqueued": enqueued,
        }  # fmt: skip
        self.name = preset or "instance"
        self.method = method_of(preset, {name: value for name, value in given.items() if value is not None})
        self.queue_size, self.real_fraction, self.real_from = queue_size, real_fraction, real_from
        self.temperature, self.momentum = temperature, momentum
        self._check_numbers(hidden, width)
        assert discriminator.trunk_width is not None
        kinds = {"real": self.method.real, "fake": self.method.fake}
        self.streams = nn.ModuleDict(
            {kind: Stream(discriminator.trunk_width, hidden, width, kind) for kind, weight in kinds.items() if weight}
        )
        self.encoder = copy.deepcopy(discriminator).eval().requires_grad_(False)
        self.trained = (discriminator,)  # a tuple, so that D is not a part of this module too

    def _check_numbers(self, hidden: int, width: int) -> None:
        at_least_one = {"queue_size": self.queue_size, "hidden": hidden, "width": width}
        for name, size in at_least_one.items():
            if size is not None and size < 1:
                raise ValueError(f"{self.name}: {name} {size} is out of range: expected 1 or more")
        if not self.temperature > 0:
            raise ValueError(f"{self.name}: temperature {self.temperature:g} is out of range: expected above 0")
        if not 0 <= self.real_fraction <= 1:
            raise ValueError(
                f"{self.name}: real_fraction {self.real_fraction:g} is out of range: expected a number from 0 to 1"
            )
        for name, part in {"momentum": self.momentum, "real_from": self.real_from}.items():
            if not 0 <= part < 1:
                raise ValueError(f"{self.name}: {name} {part:g} is out of range: expected a number from 0 to below 1")
        if self.real_fraction and not self.method.fake:
            raise ValueError(
                f"{self.name}: real_fraction {self.real_fraction:g} has no effect without generated images (fake 0)"
            )
        if self.real_from and not self.real_fraction:
            raise ValueError(f"{self.name}: real_from {self.real_from:g} has no effect without real_fraction")

    def stream(self, kind: str) -> Stream:
        """Head, momentum head and queue of "real" or "fake" images."""
        stream = self.streams[kind]
        assert isinstance(stream, Stream)
        return stream

    def prepare(self, dataset_size: int, batch_size: int, total_images: int) -> None:
        """Make the queues, and let the copies start from the networks as they are now.

        Raises:
            ValueError: A queue is smaller than the batch of all devices, or there are no images.
        """
        if dataset_size < 1:
            raise ValueError(f"{self.name} needs images to size its queue by, and the data set has {dataset_size}")
        size = self.queue_size or max(int(SHARE_OF_DATA * dataset_size), batch_size)
        if size < batch_size:
            raise ValueError(
                f"{self.name}: queue_size {size} is smaller than the batch of all devices, {batch_size}: a step would "
                f"overwrite its own keys. Give at least {batch_size}, or leave it out"
            )
        if self.method.forgetting == "queue" and size <= batch_size:
            say(
                f"{self.name}: the queue of {size} keys holds one batch, so that all are of one age and its forgetting "
                f"factor weighs them alike. It takes a larger set, a smaller batch or a larger queue_size"
            )
        self.total_images = total_images
        if any(hasattr(self.stream(kind), "queue") for kind in self.streams):
            return
        for kind in self.streams:
            self.stream(kind).prepare(size)
        self._follow(1.0)  # the networks may have been loaded since the copies were made

    @torch.no_grad()
    def _follow(self, share: Tensor | float) -> None:
        """Move the copies this share of the way to what they follow."""
        (trained,) = self.trained
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.encoder, trained)]
        pairs += [(stream.momentum_head, stream.head) for stream in map(self.stream, self.streams)]
        for follower, leader in pairs:
            for slow, fast in zip(follower.parameters(), leader.parameters(), strict=True):
                slow.lerp_(fast, share)
            for held, fresh in zip(follower.buffers(), leader.buffers(), strict=True):
                held.copy_(fresh)

    def discriminator_loss(self, view: StepView) -> Tensor | None:
        """Contrasts of real and of generated images [N], each under two augmentations."""
        losses = []
        if self.method.real:
            features = view.trunk(view.real, view.labels, "real query")
            key = self._keys(view, view.real, view.labels, "real", "real key")
            self.stream("real").fresh.append(key)
            losses.append(self.method.real * self._contrast("real", features, key))
        if self.method.fake:
            features = view.trunk(view.fake, view.fake_labels, "query")
            key = self._keys(view, self._near(view), view.fake_labels, "fake", "key")
            kept = key if self.method.enqueued == "keys" else self._momentum_queries(features)
            self.stream("fake").fresh.append(kept)
            if self.real_fraction and view.images_seen >= self.real_from * self.total_images:
                self.stream("fake").real.append(self._keys(view, view.real, view.labels, "fake", "real among fakes"))
            losses.append(self.method.fake * self._contrast("fake", features, key))
        return torch.stack(losses).sum()

    def generator_loss(self, view: StepView) -> Tensor | None:
        """Contrast of generated images [N] under two augmentations."""
        if not self.method.generator:
            return None
        features = view.trunk(view.fake, view.fake_labels, "query")
        key = self._keys(view, view.fake.detach(), view.fake_labels, "fake", "key")
        return self.method.generator * self._contrast("fake", features, key)

    def commit(self, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Let the copies follow, and put the step's keys into the queues.

        Returns:
            Mean age of the keys in each queue, in thousands of images.
        """
        self._follow(finite * (1 - self.momentum))
        ages = {}
        for kind in self.streams:
            stream = self.stream(kind)
            now = images_seen + world_size() * sum(map(len, stream.fresh))
            stream.queue.push(self._some_real(whole_batch(stream.fresh), stream.real), finite, now)
            stream.fresh.clear()
            stream.real.clear()
            ages[f"{self.name}/queue_age_{kind}"] = stream.queue.ages(now).mean()
        return ages

    def _near(self, view: StepView) -> Tensor:
        """Generated images whose latents lie near those of the view's; style mixing stays as it was drawn."""
        if self.method.perturbation == "none":
            return view.fake
        noise = view.noise(view.latents.z, "perturbation")
        z = perturbed(view.latents.z, noise, self.method.perturbation, self.method.scale)
        return view.generate(view.latents._replace(z=z), "near")

    @torch.no_grad()
    def _keys(self, view: StepView, images: Tensor, labels: Tensor | None, kind: str, purpose: str) -> Tensor:
        seen = view.augment(images, purpose)
        reference = None if view.reference is None else view.augment(view.reference, f"{purpose} references")
        keys: Tensor = self.stream(kind).momentum_head(self.encoder.trunk(seen, labels, reference))
        return keys

    @torch.no_grad()
    def _momentum_queries(self, features: Tensor) -> Tensor:
        queries: Tensor = self.stream("fake").momentum_head(features)
        return queries

    def _some_real(self, keys: Tensor, real: list[Tensor]) -> Tensor:
        """Keys [N, d] of the generated images of all devices, the wanted fraction replaced by those of real images."""
        if not real:
            return keys
        number = torch.arange(len(keys), device=keys.device)
        replaced = ((number + 1) * self.real_fraction).floor() > (number * self.real_fraction).floor()
        return torch.where(replaced[:, None], whole_batch(real), keys)

    def _contrast(self, kind: str, features: Tensor, key: Tensor) -> Tensor:
        stream = self.stream(kind)
        weights = self.method.weights(stream.queue.made_at) if kind == "fake" else None
        query = stream.head(features)
        with without_autocast(query.device.type):  # similarities in bfloat16 would hide what the weights say
            return info_nce(query, key, stream.queue.keys, weights, self.temperature)
