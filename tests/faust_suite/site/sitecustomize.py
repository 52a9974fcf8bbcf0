"""Makes ``import faust`` give `turbine.faust` in programs that the tests start."""

import aliases

aliases.install({})
