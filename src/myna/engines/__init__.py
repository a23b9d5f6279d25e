"""Engines, one file per inference library; registry.py is the table of names."""
