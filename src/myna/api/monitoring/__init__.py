"""What runs now: metrics for Prometheus, and a status for people."""
