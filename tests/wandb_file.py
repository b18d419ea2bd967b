"""What W&B has really got: the file of a W&B run, LevelDB's log format around protocol buffers."""

import json
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

_BLOCK = 32768  # records never cross the end of a block, their parts do
_HEADER = 7  # of the file, and of each part: checksum, length, kind
_WHOLE, _LAST = 1, 4


def payloads(content: bytes) -> Iterator[bytes]:
    """Records of a .wandb file; one that is cut off at the end is left out."""
    position, data = _HEADER, b""
    while position + _HEADER <= len(content):
        if _BLOCK - position % _BLOCK < _HEADER:
            position += _BLOCK - position % _BLOCK
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + _HEADER])
        part = content[position + _HEADER : position + _HEADER + length]
        if len(part) < length or kind == 0:
            return
        data += part
        position += _HEADER + length
        if kind in (_WHOLE, _LAST):
            yield data
            data = b""


def read_records(path: Path) -> Iterator[Any]:
    """Protocol buffers `Record` of a .wandb file.

    Raises:
        ValueError: The file holds something else.
    """
    proto: Any = import_module("wandb.proto.wandb_internal_pb2")
    decode_error = import_module("google.protobuf.message").DecodeError
    for payload in payloads(path.read_bytes()):
        record = proto.Record()
        try:
            record.ParseFromString(payload)
        except decode_error as error:
            raise ValueError(f"'{path}' is no file of W&B, or it is damaged") from error
        yield record


def key_of(item: Any) -> str:
    """Name of a logged value."""
    return item.key or "/".join(item.nested_key)


def history(path: Path) -> Iterator[dict[str, Any]]:
    """What each call of W&B's log function gave, by name."""
    for record in read_records(path):
        if record.HasField("history"):
            yield {key_of(item): json.loads(item.value_json) for item in record.history.item}
