"""Migrations, written by hand so that they hold a bit of everything."""
