"""How keys and values become bytes: `codecs`, `registry`, `schemas`."""
