"""How good samples are: formulas on features, metrics that collect features, and the extractors that make them."""

from dualgan.metrics.discriminator import discriminator_features, fddf, reference_indices
from dualgan.metrics.distances import LPIPS, FeatureDistance, PerceptualDistance, find_distance
from dualgan.metrics.extractors import EfficientNetLite0, FeatureExtractor, InceptionV3, find_extractor
from dualgan.metrics.ppl import path_lengths, perceptual_path_length
from dualgan.metrics.quality import (
    DensityCoverage,
    FeatureMetric,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    PerceptualPathLength,
    PrecisionRecall,
    SampleMetric,
)
from dualgan.metrics.separability import LinearSeparability, attribute_logits

__all__ = [
    "LPIPS",
    "DensityCoverage",
    "EfficientNetLite0",
    "FeatureDistance",
    "FeatureExtractor",
    "FeatureMetric",
    "FrechetDistance",
    "InceptionScore",
    "InceptionV3",
    "KernelDistance",
    "LinearSeparability",
    "PerceptualDistance",
    "PerceptualPathLength",
    "PrecisionRecall",
    "SampleMetric",
    "attribute_logits",
    "discriminator_features",
    "fddf",
    "find_distance",
    "find_extractor",
    "path_lengths",
    "perceptual_path_length",
    "reference_indices",
]
