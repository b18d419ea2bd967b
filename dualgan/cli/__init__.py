"""The command line: `dualgan VERB`."""
