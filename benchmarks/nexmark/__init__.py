"""Nexmark: the queries of an auction site, as pipelines, checked against SQL and timed.

The data model, the generator's rules and the queries are those of https://github.com/nexmark/nexmark
(Apache-2.0), which goes back to P. Tucker, K. Tufte, V. Papadimos and D. Maier, "NEXMark, a
benchmark for queries over data streams" (2008).
"""
