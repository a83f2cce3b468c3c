"""Migrations and named queries. Data, in a package so that it travels in the wheel."""
