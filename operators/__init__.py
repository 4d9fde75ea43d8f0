"""The operator families, one a file: the fluent methods next to the work they do."""

import reactive as _reactive  # noqa: F401  the facade first, so that any import order works
