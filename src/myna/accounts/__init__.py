"""The rules of keys and limits, without SQL and HTTP."""
