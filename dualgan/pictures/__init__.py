"""Pixels, grids and figures."""
