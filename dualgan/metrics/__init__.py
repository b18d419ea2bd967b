"""How good samples are: formulas on features, metrics that collect features, and the extractors that make them."""

# each module of a metric registers it in METRICS
from dualgan.metrics.base import FeatureMetric, SampleMetric
from dualgan.metrics.density_coverage import DensityCoverage
from dualgan.metrics.discriminator import DiscriminatorDistance, discriminator_features, reference_indices
from dualgan.metrics.distances import LPIPS, FeatureDistance, PerceptualDistance, find_distance
from dualgan.metrics.extractors import EfficientNetLite0, FeatureExtractor, InceptionV3, find_extractor
from dualgan.metrics.frechet import FrechetDistance
from dualgan.metrics.inception_score import InceptionScore
from dualgan.metrics.kernel import KernelDistance
from dualgan.metrics.ppl import PerceptualPathLength, path_lengths, perceptual_path_length
from dualgan.metrics.precision_recall import PrecisionRecall
from dualgan.metrics.separability import attribute_logits, separability
from dualgan.metrics.table import METRICS, MetricSpec, Number

__all__ = [
    "LPIPS",
    "METRICS",
    "DensityCoverage",
    "DiscriminatorDistance",
    "EfficientNetLite0",
    "FeatureDistance",
    "FeatureExtractor",
    "FeatureMetric",
    "FrechetDistance",
    "InceptionScore",
    "InceptionV3",
    "KernelDistance",
    "MetricSpec",
    "Number",
    "PerceptualDistance",
    "PerceptualPathLength",
    "PrecisionRecall",
    "SampleMetric",
    "attribute_logits",
    "discriminator_features",
    "find_distance",
    "find_extractor",
    "path_lengths",
    "perceptual_path_length",
    "reference_indices",
    "separability",
]
