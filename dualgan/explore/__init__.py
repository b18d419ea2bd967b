"""A page to play with trained networks. What it shows is computed by modules that know no page, for use without one."""
