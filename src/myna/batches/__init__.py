"""Runs batches in the background: checks the input, dispatches its lines as requests, writes the results."""
