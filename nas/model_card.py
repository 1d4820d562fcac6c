"""README.md of a Hugging Face model page, from what the baseline's document and its weights say; nothing is added.

>>> from nas.exporting import subject_of
>>> from nas.timm_form import config_of, form_of
>>> subject = subject_of("mnasnet-a1", None)
>>> print(model_card(subject, config_of(subject, form_of(subject)), timm=True, name="semnasnet_100"))
... # doctest: +ELLIPSIS
---
library_name: timm
...
**These weights are untrained**: freshly initialised, with seed 0. Their outputs mean nothing.
...
"""

from typing import Any

from nas.documents import CertificateLine, RivalRow
from nas.exporting import SEED, Subject
from nas.search.verdict_words import plain

SHOWN = 20
"""Names of classes on the page; all are in config.json."""


def model_card(subject: Subject, config: dict[str, Any], timm: bool, name: str) -> str:
    """The page, in Markdown with YAML before it; what it quotes of documents and weights is no markup in it.

    Args:
        config: config.json.
        timm: whether model.py builds timm's network; else it is plain torch.
        name: timm's own name of the network; '' where it has none.
    """
    library = "timm" if name else "pytorch"  # Hugging Face shows how the library loads it: by create_model
    parts = [
        ["---", f"library_name: {library}", "pipeline_tag: image-classification", "tags:", "- image-classification",
         "- neural-architecture-search", f"- {'timm' if timm else 'pytorch'}",
         "# license: yours to choose; see Licence below, and put it here, such as license: apache-2.0", "---"],
        [f"# {subject.baseline.name}", "", *_opening(subject)],
        ["## Weights", "", *_weights(subject)],
        ["## Use", "", *_use(timm, name)],
        ["## Images", "", *_images(subject, config)],
        ["## Classes", "", *_classes(subject)],
        ["## Where it comes from", "", *_origin(subject)],
        _certificate(subject.baseline.certificate),
        ["## Licence", "", "Not stated. It depends on the images that the weights were trained on, and on who trained "
         "them; whoever publishes this page says which."],
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _text(value: object) -> str:
    """Text of a document's on the page: one line, and neither Markdown's links nor HTML in it."""
    return plain(value).replace("<", "&lt;").replace("`", "'")


def _opening(subject: Subject) -> list[str]:
    arch = subject.net.architecture
    source = f"; their source: {_text(subject.baseline.source)}" if subject.baseline.source else ""
    return [
        f"A network for image classification. Its stages are in `{subject.baseline.name}.yml`, a b0nas "
        f"baseline{source}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| parameters | {arch.params:,} |",
        f"| multiply-adds of convolutions and linear layers, one image | {arch.macs:,} |",
        f"| images | {arch.stem.in_chans} x {arch.resolution} x {arch.resolution} |",
        f"| classes | {arch.head.classes:,} |",
        f"| activation | {arch.activation} |",
        f"| batch norm's epsilon | {subject.facts.norm_eps:g} |",
        f"| padding | {'SAME, as in TensorFlow' if subject.facts.padding == 'same' else 'symmetric'} |",
    ]


def _weights(subject: Subject) -> list[str]:
    facts = subject.facts
    if subject.weights is None:
        return [
            f"**These weights are untrained**: freshly initialised, with seed {SEED}. Their outputs mean nothing."
        ]
    said = {
        "data": facts.data,
        "recipe": facts.recipe,
        "epochs": f"{facts.epochs:g}" if facts.epochs else "",
        "accuracy": f"{facts.accuracy:.4f} on {facts.scored or 'what is not said'}"
        if facts.accuracy is not None
        else "",
        "source": facts.source,
    }
    rows = [f"| {field} | {_text(value)} |" for field, value in said.items() if value]
    if not rows:
        return ["Their file says nothing of how they were trained."]
    return ["What their file says of them:", "", "| | |", "| --- | --- |", *rows]


def _use(timm: bool, name: str) -> list[str]:
    needs = "torch, timm and safetensors" if timm else "torch and safetensors"
    comment = "# in eval mode; float images (N, channels, H, W) -> logits (N, classes)"
    code = _python("from model import load", "", comment, "net = load()")
    lines = [f"`model.py` needs {needs}, and not b0nas:", "", *code]
    if name:
        call = 'net = timm.create_model("hf-hub:USER/REPOSITORY", pretrained=True)'
        lines += [
            "",
            f"timm knows the network as {name}:",
            "",
            *_python("import timm", "", "# or local-dir:FOLDER", call),
        ]
    return lines


def _python(*lines: str) -> list[str]:
    return ["```python", *lines, "```"]


def _images(subject: Subject, config: dict[str, Any]) -> list[str]:
    form, size = config["pretrained_cfg"], subject.net.architecture.resolution
    if subject.facts.crop_pct is None:
        resized = f"made {size} x {size}: how, the weights do not say, and config.json has what is customary"
    elif form["crop_mode"] == "squash":
        resized = f"resized whole to {size} x {size} ({form['interpolation']})"
    else:
        shorter = round(size / form["crop_pct"])
        resized = (
            f"resized to {shorter} on the shorter side ({form['interpolation']}), of which the centre is taken, "
            f"{size} x {size}"
        )
    if "mean" not in form:
        return [
            f"In [0, 1], {resized}. With which mean and deviation they were normalized, the weights do not say."
        ]
    numbers = [", ".join(f"{value:.4g}" for value in form[field]) for field in ("mean", "std")]
    return [
        f"In [0, 1], {resized}. Then normalized by channel: mean {numbers[0]}; standard deviation {numbers[1]}."
    ]


def _classes(subject: Subject) -> list[str]:
    names = subject.facts.class_names
    if len(names) != subject.net.num_classes:
        return [f"{subject.net.num_classes:,}; their names are not known."]
    more = f" ... {len(names):,} in all, in `config.json`" if len(names) > SHOWN else ""
    return [", ".join(_text(name) for name in names[:SHOWN]) + more]


def _origin(subject: Subject) -> list[str]:
    baseline = subject.baseline
    rows = []
    for title, part in (("provenance", baseline.provenance), ("facts", baseline.facts)):
        for field, value in part.model_dump(exclude_none=True, exclude_defaults=True).items() if part else ():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            rows.append(f"| {title} | {field} | {_text(shown)} |")
    if not rows:
        return ["The document does not say."]
    note = (
        "The document's own; an accuracy here is of the weights that the document was written for, which need not be "
        "these."
    )
    return [note, "", "| | field | value |", "| --- | --- | --- |", *rows]


def _certificate(found: CertificateLine | None) -> list[str]:
    """Whether the search's winner differs from its rivals by more than luck does, of `nas certify`."""
    if found is None:
        return []
    mean = "" if found.accuracy is None else f": mean test {_text(found.metric)} {found.accuracy:.4f}"
    mean += "" if found.sd is None else f", standard deviation {found.sd:.4f}"
    lines = [
        "## Certificate",
        "",
        f"Trained anew with {found.n} seeds that chose nobody, on {_text(found.data)} "
        f"({_text(found.recipe)}), and "
        f"tested on {found.images:,} images{mean}. Margins are points, their intervals hold together at "
        f"{100 * found.level:g} %.",
    ]
    if found.table:
        lines += ["", "| rival | multiply-adds | accuracy | winner less it | interval | verdict |",
                  "| --- | ---: | ---: | ---: | ---: | --- |", *map(_rival, found.table)]  # fmt: skip
    return lines


def _rival(row: RivalRow) -> str:
    accuracy = "-" if row.accuracy is None else f"{row.accuracy:.4f}"
    margin = "-" if row.margin is None else f"{100 * row.margin:+.2f}"
    interval = "-"
    if row.low is not None and row.high is not None:
        interval = f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
    return (
        f"| {_text(row.rival)} | {row.macs:,} | {accuracy} | {margin} | {interval} | {_text(row.verdict)} |"
    )
