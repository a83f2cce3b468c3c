"""Specs and data to try. Data, in a package so that it travels in the wheel."""
