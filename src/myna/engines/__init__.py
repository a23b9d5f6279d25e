"""One file, one inference library; registry.py is a table of names."""
