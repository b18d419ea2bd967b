"""Modules outside of dualgan that the user trusts: what is named in them may be imported."""

import os
from importlib import import_module

ALLOW = "DUALGAN_ALLOW_IMPORT"


def trusted_modules() -> list[str]:
    """The modules that $DUALGAN_ALLOW_IMPORT names."""
    return [name.strip() for name in os.environ.get(ALLOW, "").split(",") if name.strip()]


def import_trusted(path: str) -> bool:
    """Import the module of a dotted path if it is one of the trusted ones, or lies in one; whether it was."""
    module = path.rpartition(".")[0]
    if not any(module == name or module.startswith(f"{name}.") for name in trusted_modules()):
        return False
    import_module(module)
    return True
