"""Runs side by side: what their folders hold, how their numbers compare, and a page that shows both."""
