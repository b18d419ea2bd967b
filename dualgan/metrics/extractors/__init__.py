"""Pretrained networks that turn images into features, under names that say which network made a number."""

from dualgan.metrics.extractors.base import FeatureExtractor
from dualgan.metrics.extractors.efficientnet import EfficientNetLite0
from dualgan.metrics.extractors.fidelity import CLIP, VGG16, DINOv2, InceptionV3
from dualgan.metrics.extractors.finding import EXTRACTORS, ExtractorName, find_extractor

__all__ = [
    "CLIP",
    "EXTRACTORS",
    "VGG16",
    "DINOv2",
    "EfficientNetLite0",
    "ExtractorName",
    "FeatureExtractor",
    "InceptionV3",
    "find_extractor",
]
