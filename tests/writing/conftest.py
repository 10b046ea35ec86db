"""Assertions of the helpers are shown as those of tests are."""

import pytest

pytest.register_assert_rewrite("writing.twins")
