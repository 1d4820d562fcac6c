"""Users' files: what is no regular file is refused and not waited for, and JSON is bounded."""

import os

import pytest

from nas.catalog import find
from nas.data import describe
from nas.errors import NasError
from nas.files import UMASK, at_home, bytes_of, check_file, for_others, text_of, write_whole
from nas.strict_json import MAX_DEPTH, load_json


def refused(sentence, read, *arguments):
    with pytest.raises(NasError) as caught:
        read(*arguments)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "read", [check_file, lambda path: bytes_of(path, 100), lambda path: text_of(path, 100)]
)
def test_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    refused(
        "pipe: cannot be read (a pipe, a socket or a device, and no regular file); check",
        read,
        tmp_path / "pipe",
    )
    (tmp_path / "link").symlink_to("pipe")
    refused("link: cannot be read (a pipe", read, tmp_path / "link")


@pytest.mark.parametrize("read", [check_file, lambda path: bytes_of(path, 100)])
def test_other_things_that_are_no_file(tmp_path, read):
    refused("cannot be read (Is a directory); check the path", read, tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    refused("circle: cannot be read (Too many levels of symbolic links)", read, tmp_path / "circle")
    refused("cannot be read (File name too long)", read, tmp_path / ("x" * 300))
    refused("a\\x00b: cannot be read (embedded null byte)", read, tmp_path / "a\0b")


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert bytes_of(path, 5) == b"12345"
    refused("larger than 0 KiB, which no document is", bytes_of, path, 4)
    path.write_bytes(b"a\xff")
    refused("x: not UTF-8 text (byte 1); save it as UTF-8", text_of, path, 5)


def test_a_user_that_there_is_not():
    refused(
        "~no-such-user/x: there is no such user's folder; write the path without ~",
        at_home,
        "~no-such-user/x",
    )
    refused("~no-such-user/x.npz: there is no such user's folder", describe, "npz:~no-such-user/x.npz")
    refused("~a\\x00b: there is no such user's folder", describe, "npz:~a\0b")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a\nb"])
def test_a_name_that_no_file_can_have(name):
    refused("which is no data set", describe, name)
    refused("there is no such folder", describe, f"folder:{name}")
    refused("there is no such file", describe, f"npz:{name}")
    refused("there is no baseline", find, "baselines", name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "x.json, line 1: not JSON (Expecting property name enclosed in double quotes); write it anew"),
        ("[NaN]", "x.json: 'NaN' is no finite number of up to 40 digits; write it anew"),
        ("[1e999]", "x.json: '1e999' is no finite number"),
        ("[" + "9" * 41 + "]", "x.json: '99999"),
        ("[" + "9" * 5000 + "]", "x.json: '99999"),
        (
            "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
            "x.json: nested deeper than 64 levels; write it anew",
        ),
        ('{"a":' * 100_000, "x.json: nested deeper than 64 levels"),
    ],
)
def test_json_is_bounded(text, sentence):
    refused(sentence, load_json, text, "x.json")


def test_json_within_its_bounds():
    assert load_json("9" * 40, "x.json") == 10**40 - 1
    deep = load_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x.json")
    for _ in range(MAX_DEPTH - 1):
        (deep,) = deep
    assert deep == []


def test_what_a_terminal_would_not_show_is_escaped():
    """ESC, a line's end and half a character: an error stays one line, and changes no terminal."""
    assert str(NasError("a\x1b[2Jb\nc\udc80 é")) == "a\\x1b[2Jb\\nc\\udc80 é"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_whole(path, "old")

    def full(self, target):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", full)
        refused("x.json: cannot be written (No space left on device); mend it", write_whole, path, "new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x.json", "old")]


def test_what_is_for_others_has_the_users_own_permissions(tmp_path, monkeypatch):
    monkeypatch.delenv(UMASK, raising=False)
    before = os.umask(0o077)
    try:
        with for_others():
            (tmp_path / "mine").touch()
        monkeypatch.setenv(UMASK, "22")
        with for_others():
            (tmp_path / "data").touch()
        (tmp_path / "journal").touch()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"mine": 0o600, "data": 0o644, "journal": 0o600}
