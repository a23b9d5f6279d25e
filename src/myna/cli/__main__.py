"""`python -m myna.cli`, for a checkout without an install."""

from myna.cli import main

main()
