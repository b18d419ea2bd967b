"""`python -m dualgan` is the console script."""

from dualgan.cli.main import entry_point

if __name__ == "__main__":
    entry_point()
