"""Convolutions of a CPU as matrix products."""
