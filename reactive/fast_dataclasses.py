"""Frozen dataclasses whose classes are made in a third of the time.

For each class, `dataclasses` writes the source of six methods and compiles it, which was more than
half of the import of this library. Here only `__init__` is compiled, and the others read the names
of the fields. To all that ask, what is made is a dataclass: to `dataclasses.fields` and `replace`,
to a `match`, to pickle, to a type checker, to another dataclass that inherits from it. What asks
for more than this module knows is left to `dataclasses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from copy import copy
    from dataclasses import MISSING, Field, FrozenInstanceError
    from reprlib import recursive_repr

    @dataclasses.dataclass(frozen=True)
    class _Model:
        field: int

    class _Factory:
        def __repr__(self):
            return "<factory>"

    _FACTORY = _Factory()
    _OPTIONS = {"default", "default_factory", "init", "repr", "hash", "compare", "metadata"}

    def dataclass(cls=None, /, *, frozen=False, eq=True, kw_only=False, **options):
        """`dataclasses.dataclass`."""

        def made(cls):
            fields = None if options or not frozen else _fields(cls, kw_only)
            if fields is None:
                decorator = dataclasses.dataclass(frozen=frozen, eq=eq, kw_only=kw_only, **options)
                return decorator(cls)
            _make(cls, fields, eq)
            return cls

        return made if cls is None else made(cls)

    def _fields(cls, kw_only):
        """The fields of a class by their names, or nothing where `dataclasses` has to see to it."""
        fields = {}
        for base in reversed(cls.__mro__[1:]):
            if "__dataclass_fields__" in base.__dict__:
                known = dataclasses.fields(base)
                simple = len(known) == len(base.__dataclass_fields__)
                if not simple or not base.__dataclass_params__.frozen:
                    return None
                fields |= base.__dataclass_fields__
        for name, annotation in cls.__annotations__.items():
            if not isinstance(annotation, str) or "KW_ONLY" in annotation:
                return None
            if not annotation.startswith("ClassVar"):
                fields[name] = _field(cls, name, annotation, kw_only)
        simple = all(
            field.init and field.hash is None and "InitVar" not in field.type
            for field in fields.values()
        )
        return fields if simple and cls.__dictoffset__ else None

    def _field(cls, name, annotation, kw_only):
        given = cls.__dict__.get(name, MISSING)
        made = copy(_Model.__dataclass_fields__["field"])
        made.name, made.type, made.kw_only = name, annotation, kw_only
        if not isinstance(given, Field):
            made.default = given
            return made
        for option in _OPTIONS:
            setattr(made, option, getattr(given, option))
        if given.kw_only is not MISSING:
            made.kw_only = given.kw_only
        return made

    def _make(cls, fields, eq):
        methods = _frozen_methods(cls, fields)
        if eq:
            methods |= _comparing_methods([name for name, field in fields.items() if field.compare])
        for name, method in methods.items():
            # Who has written `__eq__` has a `__hash__` of None by that.
            if cls.__dict__.get(name) is None:
                method.__name__ = name
                method.__qualname__ = f"{cls.__qualname__}.{name}"
                setattr(cls, name, method)
        if "__match_args__" not in cls.__dict__:
            positional = [name for name, field in fields.items() if not field.kw_only]
            cls.__match_args__ = tuple(positional)
        for name in [name for name, value in cls.__dict__.items() if isinstance(value, Field)]:
            if fields[name].default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, fields[name].default)
        cls.__dataclass_fields__ = fields
        cls.__dataclass_params__ = _Model.__dataclass_params__

    def _frozen_methods(cls, fields):
        shown = [name for name, field in fields.items() if field.repr]

        @recursive_repr()
        def told(self):
            values = [f"{name}={getattr(self, name)!r}" for name in shown]
            return f"{type(self).__qualname__}({', '.join(values)})"

        def set_attribute(self, name, value):
            if type(self) is cls or name in fields:
                raise FrozenInstanceError(f"cannot assign to field {name!r}")
            super(cls, self).__setattr__(name, value)

        def delete_attribute(self, name):
            if type(self) is cls or name in fields:
                raise FrozenInstanceError(f"cannot delete field {name!r}")
            super(cls, self).__delattr__(name)

        return {
            "__init__": _init(cls, fields),
            "__repr__": told,
            "__setattr__": set_attribute,
            "__delattr__": delete_attribute,
        }

    def _comparing_methods(compared):
        def values(of):
            return tuple([getattr(of, name) for name in compared])

        def equals(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return values(self) == values(other)

        def hashed(self):
            return hash(values(self))

        return {"__eq__": equals, "__hash__": hashed}

    def _init(cls, fields):
        """The one method that is worth its compiling: it runs for every object."""
        known = {"FACTORY": _FACTORY, "fields": fields}
        parameters, by_keyword, lines = [], [], []
        for name, field in fields.items():
            parameter = value = name
            if field.default is not MISSING:
                parameter += f"=fields[{name!r}].default"
            elif field.default_factory is not MISSING:
                parameter += "=FACTORY"
                value = f"fields[{name!r}].default_factory() if {name} is FACTORY else {name}"
            (by_keyword if field.kw_only else parameters).append(parameter)
            lines.append(f"    values[{name!r}] = {value}")
        if by_keyword:
            parameters += ["*", *by_keyword]
        lines.insert(0, "    values = self.__dict__")
        if hasattr(cls, "__post_init__"):
            lines.append("    self.__post_init__()")
        source = f"def __init__({', '.join(['self', *parameters])}):\n" + "\n".join(lines)
        exec(source, known)
        known["__init__"].__annotations__ = {
            **{name: field.type for name, field in fields.items()},
            "return": None,
        }
        return known["__init__"]
