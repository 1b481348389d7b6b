"""Fixtures, one plugin per subject; `tests/conftest.py` lists them."""
