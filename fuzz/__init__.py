"""Fuzzing: one target per decoder, in `fuzz.targets`; `make fuzz SECONDS=60` runs them all.

A target is a module. The first line of its docstring is its invariant; `check(data)` raises where that is broken, and
`seeds()` gives octets to begin with. What was found once lies in tests/data/fuzz/<target>/ and is checked by the tests.
"""
