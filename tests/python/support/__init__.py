"""Helpers of the behaviour tests; the fixtures made of them are in ``conftest.py``."""
