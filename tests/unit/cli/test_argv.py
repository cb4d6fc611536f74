"""The order of options: global ones may stand anywhere before `--`, and nothing behind it moves."""

import pytest

from perdure.cli.argv import first_verb, hoist_global_options


@pytest.mark.parametrize(
    "spelling",
    [["-o", "json"], ["-ojson"], ["-o=json"]],
)
def test_short_output_option_is_hoisted_from_behind_the_verb(spelling: list[str]) -> None:
    """Every spelling of -o ends in front of the verb, as `-o json`."""
    words = hoist_global_options(["snapshot", "list", *spelling])
    assert words == ["-o", "json", "snapshot", "list"]


def test_long_options_are_hoisted_with_their_values() -> None:
    """--target takes the next word with it; the = form is one word."""
    words = hoist_global_options(["status", "--target", "h:1", "--output=json"])
    assert words == ["--target", "h:1", "--output=json", "status"]


def test_nothing_behind_two_dashes_is_moved() -> None:
    """What follows -- is redis-server's, whatever it looks like."""
    words = hoist_global_options(["serve", "--port", "0", "--", "--target", "x", "-o", "y"])
    assert words == ["serve", "--port", "0", "--", "--target", "x", "-o", "y"]


def test_option_without_its_value_is_left_for_the_parser_to_report() -> None:
    """The parser, not the hoisting, says that a value is missing."""
    assert hoist_global_options(["status", "-o"]) == ["-o"]
    assert hoist_global_options(["serve", "-o", "--", "x"]) == ["-o"]


def test_first_verb_skips_global_options() -> None:
    """The verb decides whether plugins are loaded, so a value must not be taken for it."""
    assert first_verb(["-o", "json", "--target", "status", "restore", "x"]) == "restore"
    assert first_verb(["--target=h:1", "--help"]) is None
