"""Text tables."""

from bitnet.analysis.table import aligned, count


def test_columns_are_aligned_and_lines_end_without_spaces():
    lines = aligned([("name", "b", "n"), ("a", "xx", "1"), ("long name", "", "22")], left=2)
    assert lines == ["name       b    n", "a          xx   1", "long name      22"]
    assert aligned([("a", ""), ("b", "")]) == ["a", "b"]


def test_nothing_is_a_dash():
    assert [count(n) for n in (None, 0, 999, 1000)] == ["-", "-", "999", "1,000"]
