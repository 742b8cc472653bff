"""What an error says: every fact that is known, one a line, and no more than can be read."""

from __future__ import annotations

from albertkit.errors import ConfigError


def test_a_message_has_its_facts_in_order() -> None:
    error = ConfigError("It cannot be.", fix="change it", found=3, expected="2", where="a.json")
    assert str(error) == (
        "It cannot be.\n  expected: 2\n  found: 3\n  where: a.json\n  to do: change it"
    )


def test_what_a_file_holds_is_cut_where_it_is_very_long() -> None:
    found = ConfigError("It cannot be.", found="x" * 5000).facts["found"]
    assert found == "x" * 1000 + "... (5,000 characters)"
    assert len(str(ConfigError("x" * 5000))) < 1100
    assert ConfigError("It cannot be.", found="x" * 1000).facts["found"] == "x" * 1000
