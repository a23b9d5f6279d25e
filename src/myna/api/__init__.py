"""Endpoints, one folder a family; islands that never import each other."""
