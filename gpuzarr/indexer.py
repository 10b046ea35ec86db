"""``a.oindex``, ``a.vindex`` and ``a.blocks``: other ways to say what is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuzarr.selection import Selection


class Indexer:
    """Reads and writes what `normalise` makes of an index."""

    def __init__(
        self,
        normalise: Callable[[Any], Selection],
        read: Callable[[Selection], Any],
        write: Callable[[Selection, Any], None],
    ) -> None:
        self._normalise, self._read, self._write = normalise, read, write

    def __getitem__(self, key: Any) -> Any:
        return scalar(self._read(self._normalise(key)))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(self._normalise(key), value)


def scalar(result: Any) -> Any:
    """A result without axes as a scalar."""
    return result[()] if result.ndim == 0 else result
