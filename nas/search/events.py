"""TensorBoard's event files, written with TensorBoard's own writer: no torch is imported.

>>> import tempfile
>>> writer = EventWriter(Path(tempfile.mkdtemp()))
>>> writer.scalar("search/reward", 0.9, step=1)
>>> writer.hparams({"stage1.kernel": 3, "state": "complete"}, ["trial result/reward"])
>>> writer.close()
"""

# pyright: reportAttributeAccessIssue=false
# protobuf makes TensorBoard's classes when they are imported

import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
from tensorboard.summary.writer.event_file_writer import EventFileWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


QUEUE = 1000
"""Events that wait for TensorBoard's thread; with its ten that and ours wait for each other as a search is resumed."""


class EventWriter:
    """One TensorBoard run: the event file of a folder, which is made.

    Every method raises OSError where the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = EventFileWriter(str(folder), max_queue_size=QUEUE)

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._add(Summary.Value(tag=tag, simple_value=float(value)), step)

    def text(self, tag: str, text: str, step: int) -> None:
        """Markdown."""
        content = TensorProto(
            dtype="DT_STRING",
            string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        data = _plugin("text", TextPluginData(version=0))
        self._add(Summary.Value(tag=f"{tag}/text_summary", metadata=data, tensor=content), step)

    def figure(self, tag: str, figure: "Figure", step: int) -> None:
        png = io.BytesIO()
        figure.savefig(png, format="png")
        width, height = (int(size) for size in figure.get_size_inches() * figure.dpi)
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png.getvalue())
        self._add(Summary.Value(tag=tag, image=image), step)

    def hparams(self, values: Mapping[str, Any], metrics: Iterable[str]) -> None:
        """A line of the HParams page: what was chosen (text, numbers, booleans), and the tags of the
        scalars that came of it."""
        chosen, infos = plugin_data_pb2.SessionStartInfo(), []
        for name, value in values.items():
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if numeric:
                chosen.hparams[name].number_value = value
            else:
                chosen.hparams[name].string_value = str(value)
            kind = api_pb2.DATA_TYPE_FLOAT64 if numeric else api_pb2.DATA_TYPE_STRING
            infos.append(api_pb2.HParamInfo(name=name, type=kind))
        results = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
        experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=results)
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
        for tag, part in (
            (metadata.EXPERIMENT_TAG, {"experiment": experiment}),
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": chosen}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **part)
            self._add(Summary.Value(tag=tag, metadata=_plugin(metadata.PLUGIN_NAME, data)), 0)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _add(self, value: Summary.Value, step: int) -> None:
        self._file.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def _plugin(name: str, data: Any) -> SummaryMetadata:
    content = data.SerializeToString()
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))
