"""`tools/words.py` on texts and on the README."""

import pytest
import words


def test_words_of_fenced_blocks_do_not_count():
    text = "# A title\n\n```python\nx = 1\n```\n\ntwo words\n\n```\na b\n```\n"
    assert words.count(text) == {"lines": 11, "words": 5}


def test_the_readme_keeps_its_limits(capsys):
    with pytest.raises(SystemExit) as end:
        words.main()
    assert end.value.code == 0, capsys.readouterr().out


def test_a_broken_limit_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.setitem(words.LIMITS, "words", 10)
    with pytest.raises(SystemExit) as end:
        words.main()
    assert end.value.code == 1
    assert "(at most 10) BROKEN" in capsys.readouterr().out
