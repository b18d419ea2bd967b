"""When a training has gone wrong."""


class DivergenceError(RuntimeError):
    """Training met non-finite gradients too many times in a row."""
