"""Changes of good inputs that stay near enough to the grammar to get deep into its readers.

`mutated` takes bytes of a kind ('yaml', 'json', 'npz' ...), changes what they hold once or a few times, and
writes them again; what is not of its kind, or sometimes, is changed byte by byte.
"""

import copy
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import yaml

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 5, 8, 16, 1000, 65536, 2**31, 2**63, 2**64, 10**20, -(10**20), 0.5, -0.07, 1.0,
    1e-300, 1e308, -0.0, float("inf"), float("nan"), "", " ", "a", "no", "1e400", "400M", "1.2G", "0x", "1_0", "é",
    "../x", "/etc/hostname", "..", "a/b", "a\0b", "a\nb", "-x", "--help", "x" * 300, "~nobody/x", "conv", "mbconv",
    "dsconv", "identity", "pool", "swish", "relu6", "model", "evolution", "soft", "hard", "scale:tiny", "table:r.json",
    [], {}, [[]], [{}], {"a": 1}, [1, 2], [0.5, "a"], {"name": "TPE"}, {"className": "os.system", "codeDirectory": "."},
    {"__nni_obj__": "gASVAAAA"}, {"__symbol__": "path:os.system", "__args__": ["true"]},
)  # fmt: skip
KEYS = (
    "name", "se", "expand", "kernel", "channels", "layers", "stride", "skip", "target", "added", "facts", "scaling",
    "provenance", "tuner", "assessor", "advisor", "className", "codeDirectory", "classArgs", "experimentType", "event",
    "number", "state", "sample", "accuracy", "macs", "params", "records", "choices", "space", "network", "run", "w",
    "form", "limits", "seed", "strategy", "reward", "shape", "dtype", "data_offsets", "__metadata__", "",
    "a.b", "__class__",
)  # fmt: skip
TOKENS = (
    b"&a ", b"*a ", b"!!python/object/apply:os.system ", b"!!binary ", b"<<: ", b"? ", b"- ", b"\t", b"%YAML 1.1\n",
    b"---\n", b"...\n", b": ", b"#", b"|\n", b">\n", b"'", b'"', b"[", b"]", b"{", b"}", b",", b"\xff", b"\xef\xbb\xbf",
    b"\0", b"\r\n", b"\xe2\x80\xa8", b'"\\ud800"', b'"\\0"', b"9" * 50, b"0x_", b"1:60", b".inf", b"NaN", b"1e999",
    b"\n\n", b"[" * 40, b"{a: " * 14,
)  # fmt: skip


def mutated(kind: str, data: bytes, rng: random.Random) -> bytes:
    """`data` of a kind, changed."""
    change = KINDS[kind]
    if change is not None and rng.random() < 0.8:
        try:
            return change(data, rng)
        except Exception:  # not of its kind any more
            pass
    return _bytes(data, rng)


def _bytes(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randrange(len(found) + 1)
        end = min(len(found), start + rng.choice((1, 1, 4, 16, 64)))
        action = rng.randrange(5)
        if action == 0:
            found[start:start] = rng.choice(TOKENS)
        elif action == 1:
            del found[start:end]
        elif action == 2:
            found[start:start] = found[start:end]
        elif action == 3 and start < len(found):
            found[start] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, found[start] ^ (1 << rng.randrange(8))))
        else:
            other = rng.randrange(len(found) + 1)
            found[start:start] = found[other : other + 8]
    return bytes(found)


# Plain data


def _places(data: Any) -> list[tuple[Any, Any]]:
    """(list or mapping, key) of every value."""
    found, left = [], [data]
    while left:
        inner = left.pop()
        pairs = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, value in pairs:
            found.append((inner, key))
            if isinstance(value, dict | list):
                left.append(value)
    return found


def _value(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(VALUES))


def _tree(data: Any, rng: random.Random) -> Any:
    """Plain data with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = _places(data) if isinstance(data, dict | list) else []
        if not places or rng.random() < 0.01:
            data = _value(rng)
            continue
        inner, key = rng.choice(places)
        action = rng.randrange(8)
        if action in (0, 1):
            inner[key] = _value(rng)
        elif action == 2:
            other, place = rng.choice(places)
            inner[key] = copy.deepcopy(other[place])
        elif action == 3:
            del inner[key]
        elif action == 4:
            inner[key] = _scalar(inner[key], rng)
        elif action == 5:
            inner[key] = rng.choice(([inner[key]], [inner[key], inner[key]], {"a": inner[key]}))
        elif isinstance(inner, dict):
            value = inner.pop(key) if action == 6 else _value(rng)
            inner[rng.choice(KEYS) if rng.random() < 0.8 else f"{key}x"] = value
        else:
            inner.insert(rng.randrange(len(inner) + 1), inner[key])
    return data


def _scalar(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str):
        return _bytes(value.encode(), rng).decode(errors="replace")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _value(rng)
    return rng.choice(
        (value + 1, value - 1, -value, value * 2, value / 2, value * 1e6, str(value), value * 2**40)
    )


def _yaml(data: bytes, rng: random.Random) -> bytes:
    text = yaml.dump(
        _tree(yaml.load(data, yaml.CSafeLoader), rng),
        Dumper=yaml.CSafeDumper,
        sort_keys=False,
        default_flow_style=rng.choice((None, None, True, False)),
    ).encode()
    return _bytes(text, rng) if rng.random() < 0.1 else text


def _json(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(_tree(json.loads(data), rng)).encode()


# Lines, cells, words


def _of_parts(separator: bytes, change: Callable[[bytes, random.Random], bytes]) -> Callable[..., bytes]:
    def parts(data: bytes, rng: random.Random) -> bytes:
        found = data.split(separator)
        place = rng.randrange(len(found))
        action = rng.randrange(6)
        if action == 0:
            del found[place]
        elif action == 1:
            found.insert(place, rng.choice(found))
        elif action == 2:
            rng.shuffle(found)
        else:
            found[place] = change(found[place], rng)
        return separator.join(found)

    return parts


def _cells(line: bytes, rng: random.Random) -> bytes:
    cells = line.split(b",")
    cells[rng.randrange(len(cells))] = _word(b"", rng) if rng.random() < 0.7 else rng.choice(KEYS).encode()
    return b",".join(cells)


def _word(word: bytes, rng: random.Random) -> bytes:
    if word and rng.random() < 0.4:
        return _bytes(word, rng)
    return rng.choice((str(rng.choice(VALUES)).encode(), rng.choice(TOKENS)))


# Binary files


def _safetensors(data: bytes, rng: random.Random) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    if rng.random() < 0.3 and isinstance(header.get("__metadata__"), dict):
        key = rng.choice(list(header["__metadata__"]))
        header["__metadata__"][key] = json.dumps(_tree([_value(rng)], rng))
    else:
        header = _tree(header, rng)
    text = json.dumps(header).encode()
    size = len(text) if rng.random() < 0.95 else rng.choice((0, 1, 2**32, 2**63, 2**64 - 1, len(text) + 8))
    return struct.pack("<Q", size) + text + rest


def _zip(change: Callable[[str, bytes, random.Random], bytes]) -> Callable[..., bytes]:
    def parts(data: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            found = {name: file.read(name) for name in file.namelist()}
        name = rng.choice(list(found))
        found[name] = change(name, found[name], rng)
        if rng.random() < 0.1:
            found[rng.choice(("../x", "a", "x_test.npy", "y" * 300))] = found[name]
        made = io.BytesIO()
        kind = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
        with zipfile.ZipFile(made, "w", kind) as file:
            for name, content in found.items():
                file.writestr(name, content)
        return made.getvalue()

    return parts


def _npy(name: str, data: bytes, rng: random.Random) -> bytes:
    """An array's file with another header."""
    (size,) = struct.unpack("<H", data[8:10])
    header = data[10 : 10 + size]
    pieces = (
        (b"(", b"(-"), (b"(", b"(9" + b"0" * rng.randrange(12)), (b"False", b"True"), (b"|u1", b"|O"), (b"|u1", b"<f8"),
        (b"|u1", b"<U%d" % rng.choice((1, 2**31, 2**60))), (b"<i8", b">u8"), (b"(", b"(" * rng.choice((1, 90, 4000))),
        (b"{", b"{'a': 1, "), (b",)", b")"), (b"'", b'"'), (b" ", b"\t\n"), (b"shape", b"shap"), (b"(", b"(True, "),
    )  # fmt: skip
    before, after = rng.choice(pieces)
    header = header.replace(before, after, 1) if rng.random() < 0.8 else _bytes(header, rng)
    return data[:8] + struct.pack("<H", min(len(header), 65535)) + header[:65535] + data[10 + size :]


def _pickled(name: str, data: bytes, rng: random.Random) -> bytes:
    return _bytes(data, rng)


KINDS: dict[str, Callable[[bytes, random.Random], bytes] | None] = {
    "bytes": None,
    "yaml": _yaml,
    "json": _json,
    "json lines": _of_parts(b"\n", _json),
    "csv": _of_parts(b"\n", _cells),
    "words": _of_parts(b" ", _word),
    "lines": _of_parts(b"\n", _word),
    "safetensors": _safetensors,
    "npz": _zip(_npy),
    "torch": _zip(_pickled),
}
"""How each kind is changed; None: byte by byte."""
