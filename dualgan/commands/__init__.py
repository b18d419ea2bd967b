"""Commands: what else a user does with a checkpoint."""
