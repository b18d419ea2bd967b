"""What is allowed but said once before the training: what the paper found unstable, and likely mistakes."""

from dualgan.losses import AdversarialLoss, DualContrastive
from dualgan.networks import Discriminator


def cautions(discriminator: Discriminator, loss: AdversarialLoss, total_kimg: float, cooldown_kimg: float) -> list[str]:
    """Sentences for the user about this combination; none for most."""
    found = []
    if cooldown_kimg > total_kimg:
        found.append(
            f"cooldown_kimg {cooldown_kimg:g} is longer than the training of total_kimg {total_kimg:g}: the learning "
            f"rates start at {100 * total_kimg / cooldown_kimg:.2g} % of learning_rate. Lower cooldown_kimg too"
        )
    if not discriminator.takes_reference:
        return found
    resolution = discriminator.attention_resolution
    if resolution is not None and resolution > 8:
        found.append(
            f"reference attention at attention_resolution {resolution}: at 16 and above the paper's FID is worse and "
            f"'the training turns easily diverging' (supplement, section 4 and Table 6). It uses 8 throughout"
        )
    if isinstance(loss, DualContrastive):
        found.append(
            "DualContrastive with reference attention in the discriminator: the paper found the two 'sometimes not "
            "compatible' because together they 'overly augment the classification task' (supplement, Table 7: FID "
            "falls on CelebA and Animal Face, and rises on Bedroom and Church). NonSaturating is the safe choice"
        )
    return found
