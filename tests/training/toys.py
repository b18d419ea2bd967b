"""The smallest of everything that a training can be extended with: networks, an augmentation, an auxiliary loss."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dualgan.augment import Augmentation
from dualgan.auxiliary import AuxiliaryTask, StepView
from dualgan.networks import Discriminator, Generator, Latents
from dualgan.networks.base import Heads, check_labels
from dualgan.runtime.distributed import gather, mean_over_ranks


class ToySynthesis(nn.Module):
    def __init__(self, z_dim: int, width: int, resolution: int, num_channels: int, norm: bool) -> None:
        super().__init__()
        self.size, self.width = resolution // 2, width
        self.dense = nn.Linear(z_dim, width * self.size**2)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.conv = nn.Conv2d(width, num_channels, 3, padding=1)

    def forward(self, styles: Tensor, noise_mode: str = "random") -> Tensor:
        x = self.norm(self.dense(styles).view(-1, self.width, self.size, self.size)).relu()
        return torch.tanh(self.conv(nn.functional.interpolate(x, scale_factor=2.0)).float())


class ToyGenerator(Generator):
    """A dense layer, batch normalisation and a convolution, without a mapping network."""

    has_noise = False

    def __init__(
        self, resolution: int, num_channels: int = 3, num_classes: int = 0, z_dim: int = 16, norm: bool = True
    ) -> None:
        super().__init__()
        self.remember(locals())
        self.resolution, self.num_channels, self.num_classes, self.z_dim = resolution, num_channels, num_classes, z_dim
        self.repeatable = not norm
        self.embed = nn.Embedding(num_classes, z_dim) if num_classes else None
        self.synthesis = ToySynthesis(z_dim, 8, resolution, num_channels, norm)

    def styles(self, latents: Latents, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        z = super().styles(latents, labels, truncation_psi)
        return z if self.embed is None else z + self.embed(labels)


class ToyDiscriminator(Discriminator):
    """Spectrally normalised convolutions, with a logit per image and one per place."""

    repeatable = False
    trunk_width = 8

    def __init__(self, resolution: int, num_channels: int = 3, num_classes: int = 0) -> None:
        super().__init__()
        self.remember(locals())
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.first = spectral_norm(nn.Conv2d(num_channels, 8, 4, stride=2, padding=1))
        self.second = spectral_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.of_image = spectral_norm(nn.Linear(8, num_classes or 1))
        self.of_places = spectral_norm(nn.Conv2d(8, 1, 1))

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        x: Tensor = nn.functional.leaky_relu(self.second(nn.functional.leaky_relu(self.first(images), 0.2)), 0.2)
        return x

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        return self.trunk(images).mean(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Heads:
        check_labels(labels, self.num_classes, len(images))
        x = self.trunk(images)
        logits = self.of_image(x.mean(dim=(2, 3))).float()
        own = torch.zeros_like(logits[:, 0], dtype=torch.int64) if labels is None else labels
        return logits.gather(1, own[:, None]).squeeze(1), self.of_places(x).squeeze(1).float()


class ToyAugmentation(Augmentation):
    """Makes each image brighter or darker, the more the better D is, and shows D a generated image now and then."""

    strength: Tensor

    def __init__(self, start: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(start))

    def draw(self, images: Tensor) -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.strength * (self.draw(images) - 0.5)

    def real(self, real: Tensor, fake: Tensor) -> Tensor:
        return torch.where(self.draw(real) < self.strength, fake, real)

    @torch.no_grad()
    def observe(self, real_logits: Tensor, fake_logits: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        ahead = mean_over_ranks(torch.sigmoid(real_logits.mean() - fake_logits.mean()))
        moved = (self.strength + 0.02 * (ahead - 0.5)).clamp(0, 1)
        self.strength.copy_(torch.where(finite, moved, self.strength))
        return {"toy/strength": self.strength.clone()}


class ToyTask(AuxiliaryTask):
    """Keeps a trained projection of D's features of generated images away from those of earlier steps, in a queue."""

    queue: Tensor
    ages: Tensor

    def __init__(self, discriminator: Discriminator, weight: float = 0.1) -> None:
        super().__init__(discriminator)
        assert discriminator.trunk_width is not None
        self.name, self.weight = "toy", weight
        self.head = nn.Linear(discriminator.trunk_width, 4)
        self.fresh: list[Tensor] = []

    def prepare(self, dataset_size: int, batch_size: int, total_images: int) -> None:
        self.register_buffer("queue", torch.zeros(max(dataset_size // 4, batch_size), 4))
        self.register_buffer("ages", torch.zeros(len(self.queue), dtype=torch.int64))

    def project(self, view: StepView, purpose: str) -> Tensor:
        found: Tensor = self.head(view.trunk(view.fake, view.fake_labels, purpose).mean(dim=(2, 3)))
        return found

    def discriminator_loss(self, view: StepView) -> Tensor:
        projected = self.project(view, "D")
        again = view.generate(view.latents._replace(z=view.latents.z + 0.01), "moved")
        self.fresh.append(projected.detach())
        other = self.head(view.trunk(again, view.fake_labels, "moved").mean(dim=(2, 3)))
        loss: Tensor = self.weight * ((projected - other).square().mean() - (projected @ self.queue.T).mean())
        return loss

    def generator_loss(self, view: StepView) -> Tensor:
        return self.weight * (self.project(view, "G") @ self.queue.T).mean()

    def commit(self, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        own = torch.stack(self.fresh, dim=1).flatten(0, 1)  # micro-batches are strided shares of a batch, and so are
        new = gather(own).transpose(0, 1).flatten(0, 1)  # the batches of the ranks
        self.fresh.clear()
        now = torch.full((len(new),), images_seen, device=new.device)
        for queue, entries in ((self.queue, new), (self.ages, now)):
            queue.copy_(torch.where(finite, torch.cat([entries, queue[: -len(new)]]), queue))
        return {}
