"""``turbine migrate check``: what a Faust program uses, and how it is treated here."""
