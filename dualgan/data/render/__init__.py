"""The renderer of SyntheticCLEVR."""
