"""The process and its ranks, and the seeds of everything random."""
