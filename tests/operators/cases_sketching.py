"""Cases of `operators/sketching.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case

LAWS: dict[str, Build | Case] = {
    "approximate_distinct_count": lambda s: s.approximate_distinct_count(),
    "approximate_quantiles": lambda s: s.approximate_quantiles([0, 0.3, 0.5, 0.9, 1]),
    "heavy_hitters": lambda s: s.heavy_hitters(0.3),
    "approximate_distinct_count, roughly": lambda s: s.approximate_distinct_count(error=0.1),
    "approximate_quantiles, roughly": lambda s: s.approximate_quantiles([0.5], error=0.1),
    "heavy_hitters, roughly": lambda s: s.heavy_hitters(0.3, error=0.1),
}

RULES: dict[str, Build] = {
    "approximate_distinct_count": lambda s: s.map(id).approximate_distinct_count(),
    "approximate_quantiles": lambda s: (
        s.map(id).end_with(1).approximate_quantiles([0.5]).map(lambda ids: len(ids))
    ),
    "heavy_hitters": lambda s: s.heavy_hitters(0.1),
}
