"""Files of networks: checkpoints, exports, imports."""
