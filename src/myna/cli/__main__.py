"""`python -m myna.cli`, for a checkout that is not installed."""

from myna.cli import main

main()
