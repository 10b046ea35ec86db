"""Damaged bytes, by the million: whole chains, shard indexes, metadata documents (docs/fuzzing.md).

``python -m fuzz`` in the folder ``tests`` tries any number of cases, `test_fuzz` the same ones in
each run of the tests.
"""
