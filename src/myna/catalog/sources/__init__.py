"""Where bytes come from: one file a source, and a table of names. Each is imported when it is asked."""
