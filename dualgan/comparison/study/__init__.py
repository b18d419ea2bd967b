"""Studies: a table of configurations and seeds, trained and scored run by run, with what came of it."""
