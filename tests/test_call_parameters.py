"""How the parameters of a call by hand are written on the command line, or in a file."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.by_hand import read_object, read_parameters
from handlers.errors import WrongRequest
from handlers.vendors import VENDORS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20),
        ("020", 20),
        ('"20"', "20"),
        ("'20'", "20"),
        ("1.5", 1.5),
        ("true", True),
        ("off", "off"),
        ("null", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("[1, two]", [1, "two"]),
        ('{"a": {"b": [1, "x", null]}}', {"a": {"b": [1, "x", None]}}),
        ("room #7", "room #7"),
        ("a: b", "a: b"),
        ("- a", "- a"),
        ("*x", "*x"),
        ("@teacher", "@teacher"),
        ("https://x.example.com/a?b=1&c=[d]", "https://x.example.com/a?b=1&c=[d]"),
    ],
)
def test_values_are_read_as_in_rules_and_what_a_shell_has_as_one_word_stays_one(text: str, value: object) -> None:
    assert read_parameters([f"X={text}"], {}) == {"X": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1001", "1001"), ("020", "020"), ("1.50", "1.50"), ("true", "true"), ('"7"', "7"), ("null", None), ("", None)],
)
@pytest.mark.parametrize("name", ["RoomId", "Layout.CustomLayout.Canvas.Background"])
def test_what_is_typed_is_text_where_nothing_but_text_is_wanted(name: str, text: str, value: object) -> None:
    model = VENDORS["volcengine"].operations["update_record"].parameters
    read: Any = read_parameters([f"{name}={text}", "Nonsense=1", "Layout.LayoutMode=2"], {}, model)
    assert (read["Nonsense"], read["Layout"]["LayoutMode"]) == (1, 2)
    for part in name.split("."):
        read = read[part]
    assert read == value


def test_dots_set_what_lies_deeper_beside_what_was_given() -> None:
    given = {"Layout": {"LayoutMode": 2, "Regions": []}}
    written = ["Layout.Canvas.Background=#fff", "Layout.LayoutMode=3", "Handle=true"]
    assert read_parameters(written, given) == {
        "Layout": {"LayoutMode": 3, "Regions": [], "Canvas": {"Background": "#fff"}},
        "Handle": True,
    }
    assert given == {"Layout": {"LayoutMode": 2, "Regions": []}}


@pytest.mark.parametrize("text", ["X=[1", 'X="a', 'X={"a": 1, "a": 2}', "X", "=1", "a..b=1", "X.Y=1"])
def test_what_can_not_be_read_is_told_with_its_place_on_the_command_line(text: str) -> None:
    with pytest.raises(WrongRequest) as failed:
        read_parameters([text], {"X": 1})
    assert list(failed.value.wrong) == [f"--set {text}"]


@pytest.mark.parametrize("text", ["", "[1]", "1", '"x"', "null", "{", '{"a": NaN}', "[" * 100_000])
def test_a_file_of_parameters_holds_one_object(text: str) -> None:
    with pytest.raises(WrongRequest, match="expected an object of parameters"):
        read_object(text)
