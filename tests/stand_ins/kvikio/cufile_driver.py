"""The driver's properties; tests set them."""

from types import SimpleNamespace

properties = SimpleNamespace(is_gds_available=True)
