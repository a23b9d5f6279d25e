"""Keys, limits and usage: the rules, without SQL and without HTTP."""
