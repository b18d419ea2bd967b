"""The sets of images that a configuration may name."""
