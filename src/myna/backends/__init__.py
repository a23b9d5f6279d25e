"""Backends, which run models: a table by name, one file or folder each. Know no HTTP and no catalog."""
