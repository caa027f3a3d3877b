"""Benchmarks: ratios against a peer, taken turn by turn in one run. Nothing here is a test."""
