"""Shipped configuration: defaults, profiles, the names a Druid knows. A package, so that it travels in the wheel."""
