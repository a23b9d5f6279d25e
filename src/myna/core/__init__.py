"""The vocabulary of Myna: requests, events, errors, seams. Imports nothing of ours."""
