"""The pytest plugin: fixtures for virtual time and leak checks, loaded through its entry point.

It is imported in every pytest session of an environment that has the library, so it imports
nothing but pytest here; what a fixture needs is imported when a test asks for it.
"""

from __future__ import annotations
