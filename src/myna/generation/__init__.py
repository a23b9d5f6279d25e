"""What every endpoint that generates text shares: tools, JSON schemas, reasoning, budgets, usage, storing.

Takes plain values; knows no HTTP framework and no endpoint's request schema.
"""
