"""The parser of the trainer verbs: which classes their options take, and our complaints."""

from typing import Any, NoReturn

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from dualgan.augment import Augmentation
from dualgan.auxiliary import AuxiliaryTask
from dualgan.data import ImageDataModule
from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator, Generator
from dualgan.networks.attention import Attention
from dualgan.terminal.messages import MistakeError, ParagraphParser
from dualgan.training.schedule import Schedule

SCHEDULED = (
    "learning_rate", "generator_adam.learning_rate", "discriminator_adam.learning_rate", "r1_gamma", "r2_gamma",
    "gradient_penalty", "path_length_weight", "ema_kimg",
)  # fmt: skip

# What a class name on the command line may be; importing the data sets lets it find them by name.
CHOICES: dict[str, type] = {
    "model.generator": Generator,
    "model.discriminator": Discriminator,
    "model.loss": AdversarialLoss,
    "model.augmentation": Augmentation,
    "model.auxiliary": AuxiliaryTask,
    **dict.fromkeys((f"model.{name}" for name in SCHEDULED), Schedule),
    "data": ImageDataModule,
    "attention": Attention,  # an argument of either player, whose class has a parser of its own
}


class Parser(ParagraphParser, LightningArgumentParser):
    """Lightning's parser with our complaints."""

    classes = CHOICES

    def get_defaults(self, *settings: Any, **more: Any) -> Namespace:
        """Default of every option; a class without the defaults of its arguments, which are filled in at the end.

        A class that is named in its place would inherit those that it has an argument for: R3GAN, StyleGAN2's widths.
        """
        defaults = super().get_defaults(*settings, **more)
        for name in CHOICES:
            if isinstance(chosen := defaults.get(name), Namespace) and "init_args" in chosen:
                del chosen["init_args"]
        return defaults

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Complain about the words of the command line.

        Raises:
            ValueError: Always.
        """
        if isinstance(ex, TypeError) and message.endswith(".data"):  # the list of missing options
            raise MistakeError(
                "no data: pass --config with one of the shipped configurations, for instance clevr_demo.yaml, or "
                "--data ImageFolder --data.root FOLDER_OR_ZIP"
            )
        super().error(message, ex)
