"""How good samples are: formulas on features, metrics that collect features, and the extractors that make them."""

from dualgan.metrics.extractors import EfficientNetLite0, FeatureExtractor, InceptionV3, find_extractor
from dualgan.metrics.quality import DensityCoverage, FeatureMetric, FrechetDistance, KernelDistance, PrecisionRecall

__all__ = [
    "DensityCoverage",
    "EfficientNetLite0",
    "FeatureExtractor",
    "FeatureMetric",
    "FrechetDistance",
    "InceptionV3",
    "KernelDistance",
    "PrecisionRecall",
    "find_extractor",
]
