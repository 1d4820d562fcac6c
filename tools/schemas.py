"""Writes schemas/*.json: what editors use to complete and check the documents.

    python tools/schemas.py [FOLDER]

They are made of the pydantic models that read the documents. What those leave to later checks (the names of ops, odd
kernels) and what a field means is added here; the meanings are the rows of the tables in search_spaces/README.md,
baselines/README.md and docs/search.md, so that an editor says what the pages say. A field of a part is looked up by its
full path, such as `stem.channels` or `tuner.classArgs.reward.w`.

>>> sorted(schemas())
['baseline.json', 'search.json', 'space.json', 'split.json', 'table.json']
>>> schemas()["space.json"]["$defs"]["StageLine"]["properties"]["op"]["anyOf"][0]["enum"][:3]
['conv', 'dsconv', 'mbconv']
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from nas.block import SE_KINDS
from nas.documents import NAME, BaselineDocument, SpaceDocument
from nas.evaluators.table_entries import LONGEST, RESERVED
from nas.ops import ACTIVATIONS, OPS, SKIPS
from nas.reading import count, number
from nas.search.costs import milliseconds
from nas.search.settings import BY_NAME, TunerSettings
from nas.splits import SplitDocument

ROOT = Path(__file__).resolve().parents[1]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
AS_TEXT = {
    "type": "string",
    "pattern": r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*[kKMGB]?\s*$",
}
"""A number as nas.reading reads it from text, such as 400M or 400e6."""
AS_TIME = {**AS_TEXT, "pattern": AS_TEXT["pattern"].replace(r"[kKMGB]?", r"([kKMGB]|ms)?")}
"""That, or milliseconds."""
ONE_OF: dict[str, tuple[Any, ...]] = {
    "op": tuple(OPS), "skip": SKIPS, "activation": ACTIVATIONS, "stride": (1, 2), "se_kind": SE_KINDS,
}  # fmt: skip


class Words(GenerateJsonSchema):
    """Numbers may be text, where the reader takes them from text."""

    def function_before_schema(self, schema: Any) -> Any:
        inner = self.generate_inner(schema["schema"])
        function = schema["function"]["function"]
        if function in (count, number):
            return {"anyOf": [inner, dict(AS_TEXT)]}
        if function == milliseconds or getattr(function, "__name__", "") == "_over_zero":
            return {"anyOf": [inner, dict(AS_TIME)]}
        return inner


def meanings(page: str) -> dict[str, str]:
    """Field -> meaning, of a page's tables whose first cell is code; `activation` of a stage is 'stages.activation'."""
    rows = re.findall(r"^\| (`[^|]+) \| (.+) \|$", (ROOT / page).read_text(encoding="utf-8"), flags=re.M)
    found: dict[str, str] = {}
    for names, rest in rows:
        cells = [_plain(cell) for cell in rest.split(" | ")]
        default = f" (default: {cells[1]})" if page.endswith("README.md") and len(cells) > 1 else ""
        for name in re.findall(r"`([^`]+)`", names):
            path = f"stages.{name}" if names.endswith(" of a stage") else name
            text = cells[0] if not page.startswith("docs") else cells[-1]
            found.setdefault(path, text + default)
    return found


def hyper_parameters() -> dict[str, str]:
    """'ppo.name' -> what that strategy is, 'ppo.clip' -> its default, of the table of strategies."""
    text = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    found = {}
    for name, what, rest in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", text, flags=re.M):
        if name in BY_NAME:
            found[f"{name}.name"] = _plain(what)
            fields = re.split(r"`(\w+)`", rest)[1:]
            for field, default in zip(fields[::2], fields[1::2], strict=True):
                found[f"{name}.{field}"] = f"default: {_plain(default.strip(' ,;:'))}"
    return found


def _plain(cell: str) -> str:
    """A table's cell without markup."""
    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", cell).replace("`", "").replace("*", "").strip()


def of_model(
    model: type[BaseModel], title: str, told: dict[str, str], places: dict[str, str]
) -> dict[str, Any]:
    """The schema of a model, with what fields mean.

    Args:
        told: path of a field -> meaning.
        places: class -> the beginning of its fields' paths, such as 'stem.'; other classes' fields are not described.
    """
    made = _bounded(model.model_json_schema(schema_generator=Words, mode="validation"))
    for name, part in [(model.__name__, made), *made.get("$defs", {}).items()]:
        part.pop("title", None)
        for field, value in part.get("properties", {}).items():
            value.pop("title", None)
            _restrict(value, ONE_OF.get(field))
            if name in places and (meaning := told.get(f"{places[name]}{field}")):
                value["description"] = meaning
    return {"$schema": DIALECT, "title": title, **made}


BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _bounded(schema: Any) -> Any:
    """A schema whose bounds have JSON Schema's names; pydantic leaves its own beside an `anyOf`."""
    if isinstance(schema, list):
        return [_bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = BOUNDS if "anyOf" in schema else {}
    return {renamed.get(key, key): _bounded(value) for key, value in schema.items()}


def _restrict(schema: dict[str, Any], allowed: tuple[Any, ...] | None) -> None:
    """Leaves of a field's schema, in a list or alone, may be these values."""
    if allowed is None:
        return
    for part in schema.get("anyOf", []):
        _restrict(part, allowed)
    if "items" in schema:
        _restrict(schema["items"], allowed)
    if (
        schema.get("type") == ("integer" if isinstance(allowed[0], int) else "string")
        and "pattern" not in schema
    ):
        schema["enum"] = list(allowed)


def search() -> dict[str, Any]:
    """search.yml: NNI's configuration, of which our own part is checked and the rest left to NNI."""
    told = meanings("docs/search.md") | hyper_parameters()
    places = {
        "TunerSettings": "",
        "RewardSettings": "reward.",
        "Limits": "limits.",
        "GridSettings": "scaling.",
    }
    places = {name: f"tuner.classArgs.{path}" for name, path in places.items()}
    places |= {model.__name__: f"{name}." for name, model in BY_NAME.items()}
    tuner = of_model(TunerSettings, "classArgs", told, places)
    definitions = tuner.pop("$defs")
    tuner.pop("$schema")
    strategies = tuner["properties"]["strategy"]
    strategies.setdefault("anyOf", []).append({"enum": sorted(BY_NAME)})
    whole = {"type": "integer", "minimum": 1}
    kinds: dict[str, Any] = {
        "experimentName": {"type": "string"}, "searchSpaceFile": {"type": "string"}, "searchSpace": {},
        "trialCommand": {"type": "string"}, "trialConcurrency": whole, "maxTrialNumber": whole,
        "maxTrialDuration": {"type": ["string", "integer"]}, "trialGpuNumber": {"type": "integer", "minimum": 0},
        "trialCodeDirectory": {"type": "string"}, "assessor": {"type": "object"},
        "trainingService": {"type": ["object", "array"]},
    }  # fmt: skip
    properties = {name: {**kind, "description": told[name]} for name, kind in kinds.items()}
    properties["tuner"] = {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": told[f"tuner.{name}"]} for name in ("codeDirectory", "className")
        },
        "if": {"properties": {"className": {"const": "nas.search.tuner.StrategyTuner"}}, "required": ["className"]},
        "then": {"properties": {"classArgs": tuner}},
    }  # fmt: skip
    return {
        "$schema": DIALECT, "title": "b0nas search.yml (NNI's configuration)", "type": "object",
        "required": ["trialCommand", "tuner", "trainingService"], "properties": properties, "$defs": definitions,
    }  # fmt: skip


def table() -> dict[str, Any]:
    """Recorded results as JSON, which nas.evaluators reads by hand for the sake of large files."""
    value = {
        "anyOf": [{"type": ["number", "boolean"]}, {"type": "string", "minLength": 1, "maxLength": LONGEST}],
    }  # fmt: skip
    fraction = {"type": "number", "minimum": 0, "maximum": 1}
    label = {"not": {"enum": list(RESERVED)}, "pattern": "^[^/]+$", "maxLength": LONGEST}
    told = meanings("docs/tables.md")
    record = {
        "sample": {"type": "object", "additionalProperties": value},
        "accuracy": {"anyOf": [fraction, {"type": "array", "items": fraction, "minItems": 1}]},
        "macs": {"anyOf": [{"type": "integer", "minimum": 1}, AS_TEXT]},
        "params": {"anyOf": [{"type": "integer", "minimum": 0}, AS_TEXT]},
        "seconds": {"type": "number", "minimum": 0},
        "network": {"type": "string", "minLength": 1},
    }
    own = {
        "name": {"type": "string", "pattern": NAME},
        "source": {"type": "string"},
        "choices": {
            "type": "object", "minProperties": 1, "propertyNames": label,
            "additionalProperties": {"type": "array", "items": value, "minItems": 1, "uniqueItems": True},
        },
        "space": {"type": "string"},
        "records": {"type": "array", "items": {"$ref": "#/$defs/Record"}},
    }  # fmt: skip
    for part in (record, own):
        for name in part:
            part[name] = {**part[name], "description": told[name]}
    return {
        "$schema": DIALECT, "title": "b0nas table of results", "type": "object", "properties": own,
        "required": ["name", "records"], "oneOf": [{"required": ["choices"]}, {"required": ["space"]}],
        "additionalProperties": False,
        "$defs": {
            "Record": {
                "type": "object", "properties": record, "required": ["sample", "accuracy"],
                "additionalProperties": False,
            }
        },
    }  # fmt: skip


def schemas() -> dict[str, dict[str, Any]]:
    """Name of file -> schema."""
    lines = {"StemLine": "stem.", "HeadLine": "head.", "StageLine": "stages."}
    of_spaces, of_baselines = meanings("search_spaces/README.md"), meanings("baselines/README.md")
    in_a_line = {f"stages.{name}": text for name, text in of_spaces.items()}  # whose rows have the bare names
    shared = of_model(
        SpaceDocument, "b0nas search space", in_a_line | of_spaces, {"SpaceDocument": "", **lines}
    )
    parts = {"BaselineDocument": "", "Facts": "facts.", "ScalingLine": "scaling."}
    found = of_model(BaselineDocument, "b0nas baseline", of_baselines, parts)
    for name in ("StageLine", "StemLine", "HeadLine"):  # described on the spaces' page
        found["$defs"][name] = shared["$defs"][name]
    for document in (found, shared):  # pydantic forgets it, of a value that a function reads first
        document["properties"]["name"]["pattern"] = NAME
    for name, value in found["properties"].items():
        value.setdefault("description", shared["properties"].get(name, {}).get("description", name))
    return {
        "space.json": shared,
        "baseline.json": found,
        "search.json": search(),
        "table.json": table(),
        "split.json": of_model(SplitDocument, "b0nas split", {}, {}),
    }


def write(folder: Path) -> None:
    """Writes every schema."""
    folder.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(*sys.argv[1:]) if sys.argv[1:] else ROOT / "schemas")
