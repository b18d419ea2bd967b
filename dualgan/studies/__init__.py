"""The papers' studies of trained networks: each a function for Python and a command, with figures and numbers."""
