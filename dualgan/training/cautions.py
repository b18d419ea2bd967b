"""What is allowed but said once before the training: what the paper found unstable, and likely mistakes."""

from dualgan.losses import AdversarialLoss, DualContrastive
from dualgan.networks import Discriminator
from dualgan.training.regularization import PathRegularization, Penalties
from dualgan.training.schedule import Schedule
from dualgan.training.two_players import TwoPlayers


def all_cautions(players: TwoPlayers, penalties: Penalties, path_length: PathRegularization) -> list[str]:
    """All sentences for the user about a training's settings."""
    total_kimg = players.total_images / 1000
    found = cautions(players.discriminator, players.loss, total_kimg, players.cooldown_kimg)
    growth = players.generator.growing
    if growth is not None and growth.plan.images > players.total_images:
        end, (reached, fade) = growth.plan, growth.plan.at(players.total_images)
        faded = f", {fade:.0%} faded in" if fade < 1 else ""
        found.append(
            f"growing to {end.resolution}x{end.resolution} takes {end.images / 1000:g} kimg, longer than the training "
            f"of total_kimg {total_kimg:g}: it ends at {reached}x{reached}{faded}. Shorten level_kimg and fade_kimg too"
        )
    return found + without_effect(players, penalties, path_length)


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


def without_effect(players: TwoPlayers, penalties: Penalties, path_length: PathRegularization) -> list[str]:
    """Sentences for the user about settings of penalties that are off, and schedules that do not reach their end."""
    intervals = {"d_reg_interval": penalties, "g_reg_interval": path_length}
    found = [
        f"{name} null has no effect: all penalties that it is about are off. Leave it out, or give one a strength"
        for name, regularization in intervals.items()
        if regularization.idle
    ]
    numbers = [("ema_kimg", players.average.half_life_kimg), ("path_length_weight", path_length.strength)]
    numbers += [(f"{penalty.name}'s strength", strength) for penalty, strength in penalties.terms]
    for adam in players.adams:
        numbers += [("learning_rate", adam.learning_rate or 0.0), ("betas", adam.betas[1] if adam.betas else 0.0)]
    total = players.total_images
    for name, schedule in dict.fromkeys(numbers):
        if isinstance(schedule, Schedule) and schedule.kimg * 1000 > total:
            found.append(
                f"the schedule of {name} takes {schedule.kimg:g} kimg, longer than the training of total_kimg "
                f"{total / 1000:g}: it ends at {schedule.at(total):.3g} instead of {schedule.end:g}. Shorten it too"
            )
    return found
