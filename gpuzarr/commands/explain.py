"""``gpuzarr explain PATH SELECTION``: the route of a read, before any chunk is read."""

from __future__ import annotations

import re
from types import EllipsisType

from rich.console import Console

import gpuzarr

Selector = int | slice | EllipsisType

_INTEGER = re.compile(r"[+-]?\d+")


def parse_selection(text: str) -> tuple[Selector, ...]:
    """The basic selection that `text` spells as Python would.

    Parameters
    ----------
    text
        Integers, slices and ``...``, between commas; brackets around the whole are allowed.

    Raises
    ------
    ValueError
        If `text` holds anything else.

    Examples
    --------
    >>> parse_selection("0:10, :, -1")
    (slice(0, 10, None), slice(None, None, None), -1)
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    inner = inner.strip().removesuffix(",")
    if not inner.strip():
        return (Ellipsis,)
    selection = tuple(_selector(part.strip(), text) for part in inner.split(","))
    if selection.count(Ellipsis) > 1:
        raise ValueError(f"A selection takes one '...' at most, not {text!r}.")
    return selection


def _selector(part: str, text: str) -> Selector:
    if part == "...":
        return Ellipsis
    if _INTEGER.fullmatch(part):
        return int(part)
    bounds = [bound.strip() for bound in part.split(":")]
    if 2 <= len(bounds) <= 3 and all(not bound or _INTEGER.fullmatch(bound) for bound in bounds):
        return slice(*(int(bound) if bound else None for bound in bounds))
    raise ValueError(f"{part!r} in {text!r} is not an integer, a slice or '...'.")


def run(path: str, selection: tuple[Selector, ...], *, device: str) -> None:
    """Print how `selection` of the array at `path` would be read."""
    array = gpuzarr.open_array(path, device=device)
    Console().print(str(array.explain(selection)), markup=False, highlight=False, soft_wrap=True)
