"""Monitoring: metrics for Prometheus, and a status for people."""
