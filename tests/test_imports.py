"""Imports point one way, nni stays in its package, and what is light stays light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import nas

PACKAGE = Path(nas.__file__).parent

LAYERS = {
    "words of errors, the blocks, files, and the terminal": [
        "errors", "specs", "block", "field_ops", "ops", "files", "ranks", "terminal", "spinning",
    ],
    "cost": ["cost"],
    "architecture": ["parts", "architecture"],
    "documents, spaces, baselines; no torch": [
        "baseline", "candidates", "catalog", "choices", "cost_table", "documents", "key_table", "planner", "planning",
        "plans", "keys", "latency_model", "latency_table", "public", "rivals",
        "reading", "reward", "scaling", "space", "strict_json", "strict_yaml", "tables",
    ],
    "network, the public names, and what is copied into exported folders": [
        "masks", "layers", "network", "standalone", "",
    ],
    "measuring, data, training": [
        "devices", "profile", "fitting", "weights", "data", "processes", "evaluation", "state", "sources", "npz",
        "loading", "splits", "examining", "splitting", "drafting", "certificate",
        "downloads", "folders", "images", "decoding", "batches", "recipe", "recipes", "checkpoints", "training_lock",
        "shares", "optimization", "synced", "objectives", "training", "state_dicts", "origins", "packages", "importing",
        "latency", "latency_fit", "latency_making", "block_timing", "space_timing", "cam", "members",
    ],
    "supernets": ["supernet"],
    "evaluators": ["evaluators"],
    "search": ["search"],
    "what people call": [
        "report", "export", "block_strings", "string_lines", "exporting", "graphs", "timm_form", "model_card",
        "model_folder", "earlier_export",
        "grid_report", "planned_report", "main_job", "scale_job", "full_training", "beginnings",
        "headers", "scoring", "watching", "training_commands", "scaling_command",
        "conducting", "supernet_job", "supernet_command",
        "latency_command", "latency_job",
        "family_pictures", "family_latency", "family_report", "run_report", "report_job",
        "budget", "init_job", "calibrate_job",
        "proxy_table", "known_report",
        "headlines", "carrying_out", "certify_job", "certify_request", "certificate_report",
        "certificate_content", "judging_commands", "exchange_commands", "string_import",
        "html_page", "run_costs", "run_sections", "calibration_section",
        "health", "health_commands", "doctor", "cli",
    ],
}  # fmt: skip
"""Modules of `nas`, from the lowest layer up ("" is `nas` itself, a package stands for all in it);
a module imports from its own layer and from those below."""

HEAVY = ("torch", "torchvision", "nni")
LIGHT = [*LAYERS][:4]
"""Layers whose modules import nothing heavy, not even inside a function."""

FACE = {("", "nas.search.loop")}
"""What `nas` hands out only when it is asked for: `nas.Search`, which needs all that is below it."""

FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(path):
    """(line, module) of every import in a file, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import from nas on, not relatively"
            if node.module == "nas":  # a module, as in `from nas import catalog`, or a public name
                yield from ((node.lineno, f"nas.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, str(node.module)


def layer_of(module):
    """The number of the layer of a module of nas, such as 'search.tuner' or ''."""
    for number, modules in enumerate(LAYERS.values()):
        if module in modules or module.split(".")[0] in modules:
            return number
    return None


@pytest.mark.parametrize("module", FILES)
def test_every_module_has_its_layer(module):
    assert layer_of(module) is not None, (
        f"nas/{module.replace('.', '/')}.py is in no layer; add {module!r} to LAYERS in {Path(__file__).name}, "
        "where what it imports is in the same layer or below, and what imports it in the same or above"
    )


def test_every_layer_has_its_modules():
    for modules in LAYERS.values():
        for module in modules:
            assert module in FILES, (
                f"LAYERS in {Path(__file__).name} names {module!r}, which is no module of nas"
            )


@pytest.mark.parametrize("module", FILES)
def test_imports_point_one_way(module):
    names = list(LAYERS)
    own = layer_of(module)
    for line, found in imported(FILES[module]):
        if found.split(".")[0] != "nas" or (module, found) in FACE:
            continue
        target = found.removeprefix("nas").removeprefix(".")
        if target in nas.__all__:
            target = ""
        assert layer_of(target) is not None, f"{found} is in no layer"
        assert layer_of(target) <= own, (
            f"nas/{module.replace('.', '/')}.py:{line} imports {found}, which is of the layer "
            f"{names[layer_of(target)]!r}, above its own, {names[own]!r}"
        )


@pytest.mark.parametrize("module", FILES)
def test_nni_is_imported_in_search_alone(module):
    lines = [line for line, found in imported(FILES[module]) if found.split(".")[0] == "nni"]
    assert not lines or module.split(".")[0] == "search", f"nas/{module}.py:{lines} imports nni"


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("standalone.")])
def test_what_is_copied_into_exported_folders_imports_nothing_of_ours(module):
    assert {found.split(".")[0] for _, found in imported(FILES[module])} & {"nas", "nni"} == set()


@pytest.mark.parametrize("module", [module for layer in LIGHT for module in LAYERS[layer]])
def test_the_core_imports_nothing_heavy(module):
    found = [(line, name) for line, name in imported(FILES[module]) if name.split(".")[0] in HEAVY]
    assert found == []


def test_the_reader_of_imports_reads(tmp_path):
    """So that the tests above are no empty promise."""
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b, c\ndef f():\n    from nas.space import X\nif 1:\n    from nas import catalog, Stage\n"
    )
    assert sorted(imported(path)) == [
        (1, "a.b"), (1, "c"), (3, "nas.space"), (5, "nas.Stage"), (5, "nas.catalog"),
    ]  # fmt: skip
    assert [layer_of(name) for name in ("errors", "", "search.tuner", "search", "cli", "nowhere")] == [
        0, 4, 8, 8, 9, None,
    ]  # fmt: skip


RUN = """
import json, sys
import nas
if sys.argv[1:]:
    from nas.cli import main
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("", ""),
        ("--help", "Usage"),
        ("show efficientnet-b0", "385,814,752"),
        ("show efficientnet-b0 --json", '"macs": 385814752'),
        ("scale efficientnet-b0 --phi 1", "efficientnet-b0-phi1"),
        ("scale efficientnet-b0 --phi 1 --official --json", "686802832"),
    ],
)
def test_light_commands_load_nothing_heavy(command, printed, tmp_path):
    run = [sys.executable, "-c", RUN, *command.split()]
    result = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert printed in result.stdout
    loaded = json.loads(result.stderr.splitlines()[-1])
    assert "nas" in loaded
    assert ("numpy" in loaded) is ("efficientnet" in command)
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_torch_is_loaded_when_a_network_is_built(tmp_path):
    """The same measure, where it must find something."""
    code = "import sys, nas; assert 'torch' not in sys.modules; nas.build; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_unknown_public_names_are_refused():
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'bild'"):
        _ = nas.bild  # type: ignore[attr-defined]
    assert all(getattr(nas, name) for name in nas.__all__)
