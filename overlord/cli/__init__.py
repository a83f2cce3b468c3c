"""The `overlord` command."""
