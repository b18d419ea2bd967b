"""The parts of the training step that `dualgan.gan` puts together."""
