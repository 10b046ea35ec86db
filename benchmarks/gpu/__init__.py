"""What a GPU proves and measures, one command a part: ``benchmarks/gpu/run.sh check | measure``."""
