"""Stored chat completions (those sent with `store: true`): list, retrieve, update metadata, delete."""
