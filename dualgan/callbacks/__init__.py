"""Callbacks: when things happen."""

from dualgan.callbacks.attention import AttentionMaps
from dualgan.callbacks.checkpoint import RunCheckpoint
from dualgan.callbacks.contrast import MarginWarning
from dualgan.callbacks.convolutions import ConvolutionPlan
from dualgan.callbacks.predictions import Predictions
from dualgan.callbacks.progress import KimgProgressBar
from dualgan.callbacks.quality import Quality
from dualgan.callbacks.ranks import RankConsistency
from dualgan.callbacks.samples import SampleGrid
from dualgan.callbacks.signals import Signals

__all__ = [
    "AttentionMaps",
    "ConvolutionPlan",
    "KimgProgressBar",
    "MarginWarning",
    "Predictions",
    "Quality",
    "RankConsistency",
    "RunCheckpoint",
    "SampleGrid",
    "Signals",
]
