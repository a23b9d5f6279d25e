"""Shared types of Myna: requests, events, errors, interfaces. Imports no other package of Myna."""
