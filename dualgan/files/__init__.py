"""Files that are there whole or not at all, read without running anything in them."""
