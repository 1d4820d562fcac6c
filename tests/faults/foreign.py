"""A trial command of the user's own, in a few lines: `foreign.py KIND NUMBER --table results.json`."""

import json
import sys
from pathlib import Path

import nni

kind, number = sys.argv[1], int(sys.argv[2])
parameters = nni.get_next_parameter()
ill = parameters.pop("run")["number"] == number
records = json.loads(Path(sys.argv[4]).read_text())["records"]
record = next(record for record in records if record["sample"] == parameters)
if ill and kind == "nothing":
    sys.exit(0)
if ill and kind == "crash":
    raise RuntimeError("the dog ate it")
accuracy = float("nan") if ill and kind == "nan" else record["accuracy"]
reward = accuracy * (record["macs"] / 3100) ** -0.07
nni.report_final_result({"default": reward, "accuracy": accuracy, "macs": record["macs"]})
