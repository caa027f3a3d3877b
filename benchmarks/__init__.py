"""Benchmarks: ratios against a peer, taken turn by turn in one run. Nothing here is a test.

`__main__` reads the options and runs the parts: `steps` (training step, inference), `projections`, `processes` (peak memory,
start-up), `layers`. `checks` compares the answers of both sides first; `peer` is the side of PyTorch, `clock` takes the
times, `report` writes them down.
"""
