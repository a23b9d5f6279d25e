"""Stored chat completions: those sent with `store: true`, listed, read, labelled and deleted."""
