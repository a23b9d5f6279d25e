"""Stores, one file each; the only package that knows SQL."""
