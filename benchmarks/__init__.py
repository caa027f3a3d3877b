"""Benchmarks: ratios against a peer, taken turn by turn in one run. Nothing here is a test.

`__main__` reads the options and runs the parts: `steps` (training step, inference), `projections`, `processes` (peak memory,
start-up), `layers`. `checks` compares the answers of both sides first; `peer` is the side of PyTorch, `clock` takes the
times, `report` writes them down. `gpu` is the command for a machine with a GPU: its parts are `gpu_parts`, its tables
`gpu_report`; `devices` is what they need of a card, `kernels` builds for it.
"""
