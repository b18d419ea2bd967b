"""Words in and words out: options, messages about mistakes, tables, what is said during a run."""
