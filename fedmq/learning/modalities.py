"""Modalities that a plan needs, all of them or one of several, and whether a case has them."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these modalities; which, the plan sees from case to case."""

    names: tuple[str, ...]


Modalities = tuple[str | AnyOf, ...]
"""All of them are needed: `("MASK", AnyOf(("PET", "CT")))`."""


def has_modalities(found: Collection[str], needed: Modalities) -> bool:
    """Return whether `found` has all that is needed."""
    return all(
        any(name in found for name in one.names) if isinstance(one, AnyOf) else one in found
        for one in needed
    )


def describe_modalities(needed: Modalities) -> str:
    """Return what is needed, for people: `MASK, PET or CT`."""
    return ", ".join(" or ".join(one.names) if isinstance(one, AnyOf) else one for one in needed)
