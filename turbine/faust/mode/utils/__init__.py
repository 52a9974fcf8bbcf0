"""Homes of the names of `turbine.faust.mode`, as programs import them."""
