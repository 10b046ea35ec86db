"""Options; tests set `values` and `prefers_compat_mode`."""

from typing import Any

values: dict[str, Any] = {"num_threads": 1}
prefers_compat_mode = False


def get(name: str) -> Any:
    return values[name]


def set(name: str, value: Any) -> None:  # noqa: A001
    values[name] = value


def is_compat_mode_preferred() -> bool:
    return prefers_compat_mode
