"""Metrics: one file each, which offers METRIC (see `Metric` in protocol/metric.py)."""
