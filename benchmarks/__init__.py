"""Speed and memory against the bars, beside the peers: `python -m benchmarks --help`."""
