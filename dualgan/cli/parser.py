"""The parser of the trainer verbs: which classes their options take, and our complaints."""

from typing import NoReturn

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
