"""Convolutions of a CPU: algorithms, and the plan that says which of them computes what."""
