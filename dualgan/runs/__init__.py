"""The folder of a run: who owns which of its files, and what stops it."""
