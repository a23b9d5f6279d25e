"""Which models exist, where their bytes come from, which are loaded."""
