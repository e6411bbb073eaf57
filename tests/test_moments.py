"""Times as they are written: RFC 3339 with an offset, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.moments import from_text, to_text


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2020-09-02T10:23:54Z", 1_599_042_234_000),
        ("2020-09-02t18:23:54.257+08:00", 1_599_042_234_257),
        ("2020-09-02T10:23:54.9999-00:00", 1_599_042_234_999),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
        ("9999-12-31T23:59:59.999-23:59", 253_402_387_139_999),
    ],
)
def test_a_time_is_read_with_its_offset(written: str, ms: int) -> None:
    assert from_text(written) == ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "now",
        "1599042234",
        "2020-09-02",
        "2020-09-02T10:23Z",
        "2020-09-02T10:23:54",
        "2020-09-02 10:23:54Z",
        "2020-09-02T10:23:54Z\n",
        "2020-09-02T10:23:54+0800",
        "2020-09-02T10:23:54 08:00",
        "2020-09-02T10:23:54+24:00",
        "2020-09-02T10:23:60Z",
        "2020-09-02T25:00:00Z",
        "2020-02-30T00:00:00Z",
        "٢٠20-09-02T10:23:54Z",
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        from_text(written)


@given(ms=st.integers(0, 32_503_680_000_000))
def test_a_time_that_was_written_reads_as_the_same(ms: int) -> None:
    written = to_text(ms)
    assert written is not None
    assert from_text(written) == ms
