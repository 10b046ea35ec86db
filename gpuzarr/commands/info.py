"""``gpuzarr info PATH``: the hierarchy as a tree, or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.tree import Tree

import gpuzarr


def run(path: str, *, as_json: bool) -> None:
    """Print what lies at `path`."""
    node = describe(gpuzarr.open(path))
    if as_json:
        typer.echo(json.dumps(node, indent=2))  # rich would wrap long lines
    else:
        Console().print(_tree(node, label=path))


def describe(node: gpuzarr.Array | gpuzarr.Group) -> dict[str, Any]:
    """What `info` tells about an array or group, ready for JSON.

    Sizes are in bytes; ``ratio`` is decoded over stored, or None where nothing is stored.
    """
    if isinstance(node, gpuzarr.Group):
        return {
            "kind": "group",
            "path": node.path,
            "attributes": _plain(dict(node.attrs)),
            "members": {name: _member(node, name) for name in node},
        }
    stored = node.nbytes_stored()
    return {
        "kind": "array",
        "path": node.path,
        "zarr_format": node.zarr_format,
        "shape": list(node.shape),
        "dtype": str(node.dtype),
        "dimension_names": _plain(node.dimension_names),
        "chunks": _plain(node.chunks),
        "shards": _plain(node.shards),
        "order": node.order,
        "codecs": [_plain(codec) for codec in node.codecs],
        "fill_value": _plain(node.fill_value),
        "attributes": _plain(dict(node.attrs)),
        "nbytes": node.nbytes,
        "nbytes_stored": stored,
        "ratio": round(node.nbytes / stored, 3) if stored else None,
    }


def _member(group: gpuzarr.Group, name: str) -> dict[str, Any]:
    try:
        return describe(group[name])
    except gpuzarr.errors.GpuzarrError as error:
        return {"kind": "unreadable", "reason": str(error)}


def codec_label(codec: Mapping[str, Any]) -> str:
    """A codec in one line, like ``zstd(level=0, checksum=False)``."""
    options = ", ".join(f"{key}={value}" for key, value in codec["configuration"].items())
    return f"{codec['name']}({options})" if options else str(codec["name"])


def _tree(node: dict[str, Any], *, label: str) -> Tree:
    if node["kind"] == "unreadable":
        return Tree(f"[bold red]{escape(label)}[/]  {escape(node['reason'])}", guide_style="dim")
    if node["kind"] == "group":
        tree = Tree(f"[bold]{escape(label)}[/] [dim]group[/]", guide_style="dim")
        for name, member in node["members"].items():
            tree.children.append(_tree(member, label=name))
        return tree
    tree = Tree(f"[bold cyan]{escape(label)}[/]  {_shape(node)}", guide_style="dim")
    for key, value in _rows(node):
        tree.add(f"[dim]{key:<7}[/] {escape(value)}")
    return tree


def _shape(node: dict[str, Any]) -> str:
    names = node["dimension_names"] or [None] * len(node["shape"])
    lengths = [
        f"{name}: {length}" if name else str(length)
        for name, length in zip(names, node["shape"], strict=True)
    ]
    return escape(f"({', '.join(lengths)}) {node['dtype']}")


def _rows(node: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("chunks", _grid(node["chunks"]))]
    if node["shards"] is not None:
        rows.append(("shards", _grid(node["shards"])))
    rows.append(("codecs", " → ".join(map(codec_label, node["codecs"])) or "none"))
    rows.append(("fill", str(node["fill_value"])))
    ratio = f", ratio {node['ratio']:.2f}" if node["ratio"] is not None else ""
    rows.append(
        (
            "size",
            f"{decimal(node['nbytes_stored'])} stored, {decimal(node['nbytes'])} decoded{ratio}",
        )
    )
    return rows


def _grid(lengths: Sequence[Any]) -> str:
    return " × ".join(map(str, lengths)) or "scalar"


def _plain(value: Any) -> Any:
    """`value` in the types that JSON has; what has none is spelled out."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.floating):
        value = float(str(value))  # the shortest decimal, not the float64 nearest to a float32
    elif isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biufSU" else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
