"""Shared by all endpoints that generate text: tools, JSON schemas, reasoning, token budgets, usage, storing.

Takes plain values; knows no HTTP framework and no endpoint's request schema.
"""
