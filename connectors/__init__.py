"""The connectors, one system a file: sources that bring items in, sinks that take them out."""

import reactive as _reactive  # noqa: F401  the facade first, so that any import order works
