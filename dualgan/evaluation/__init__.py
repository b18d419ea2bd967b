"""Score a generator or images against real images. Trainer-agnostic: a callback and a command both call `evaluate`."""

from dualgan.evaluation.images import BATCH_SIZE, NUM_FAKE, SEEDS_PER_RUN, ReferenceSet
from dualgan.evaluation.result import Evaluation
from dualgan.evaluation.run import evaluate, evaluate_images, images_to_see

__all__ = [
    "BATCH_SIZE",
    "NUM_FAKE",
    "SEEDS_PER_RUN",
    "Evaluation",
    "ReferenceSet",
    "evaluate",
    "evaluate_images",
    "images_to_see",
]
