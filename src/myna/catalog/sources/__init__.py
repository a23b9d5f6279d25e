"""Download sources: one module per source, and a table of names. Each is imported when it is used."""
