"""Shipped configuration: the defaults, the profiles, the names a Druid knows. Data, in a package so that it travels in the wheel."""
