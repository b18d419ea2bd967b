"""Hostile pickles: nothing in them runs, and none of them takes more memory than its size."""

import os
import pickle
import struct
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan import load_generator
from dualgan.weights.official.pickles import MAX_OPERATIONS, Call, Global, UnreadablePickleError, read_pickle
from dualgan.weights.official.tensors import stored_tensor
from tests.weights.official.official_files import (
    as_pickle,
    official_content,
    opcodes,
    players,
    tensor_call,
    write_official,
)


class Trap:
    """Would write a file when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


REBUILD = "torch_utils.persistence._reconstruct_persistent_obj"
SYSTEM = {
    "reduce": pickle.dumps({"G_ema": Trap(os.system, "touch trapped")}, 4),
    "protocol 2": pickle.dumps({"G_ema": Trap(os.system, "touch trapped")}, 2),
    "eval": pickle.dumps({"G_ema": Trap(eval, "open('trapped', 'w')")}),
    "getattr": pickle.dumps(Trap(getattr, Path, "write_text")),
    "stack_global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0dtouch trapped\x85R.",
    "dotted": b"\x80\x04\x8c\x05torch\x8c\x10storage._load_fr\x93.",
    "dotted beyond": as_pickle(Call("torch.storage._load_from_bytes.__globals__.get", ("os",))),
    "of an allowed module": as_pickle(Call("torch.storage.io.open", ("trapped", "w"))),
    "inst": b"(S'touch trapped'\nios\nsystem\n.",
    "module without name": b"\x80\x04K\x01K\x02\x93.",
    "extension": b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("content", SYSTEM.values(), ids=SYSTEM.keys())
def test_nothing_is_run(content: bytes, in_empty_folder: Path) -> None:
    Path("a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot import a\.pkl"):
        load_generator("a.pkl")
    assert not Path("trapped").exists()


def test_what_a_file_asks_for_is_named(in_empty_folder: Path) -> None:
    Path("a.pkl").write_bytes(SYSTEM["reduce"])
    with pytest.raises(ValueError, match=r"it asks for 'posix\.system', which is never run"):
        load_generator("a.pkl")


def test_source_text_in_a_file_never_runs(tmp_path: Path) -> None:
    """`official_files` puts "raise SystemExit" into every module's source."""
    assert load_generator(write_official(tmp_path / "a.pkl", official_content(*players()))).resolution == 8


def test_networks_of_tensorflow_are_told_apart(in_empty_folder: Path) -> None:
    Path("a.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81.")
    with pytest.raises(ValueError, match=r"TensorFlow network .* legacy\.py"):
        load_generator("a.pkl")


@pytest.mark.parametrize("target", [Global(REBUILD), {}, [], "text", (), 3, None], ids=str)
def test_nothing_changes_the_inside_of_what_is_no_call(target: Any) -> None:
    evil = b"\x80\x04" + opcodes(target) + opcodes({"__class__": 1, "__call__": 2}) + b"b."
    with pytest.raises(UnreadablePickleError, match=r"changes the inside of an object|has no attribute '__dict__'"):
        read_pickle(BytesIO(evil), {REBUILD})


def test_a_recorded_call_is_no_function() -> None:
    called_twice = b"\x80\x04" + opcodes(Call(REBUILD, ({},))) + b")R."
    with pytest.raises(UnreadablePickleError, match="not callable"):
        read_pickle(BytesIO(called_twice), {REBUILD})


MANY = 50_000
BOMBS = {
    "declared length": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "declared text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "declared bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "memo": b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b"0.",
    "nesting": b"\x80\x04" + b"]" * MANY + b"a" * (MANY - 1) + b".",
    "nested dictionaries": b"\x80\x04}\x94" + (opcodes("a") + b"}") * MANY + b"s" * MANY + b"h\x00" * MANY + b"t.",
    "nested calls": b"\x80\x04" + opcodes(Global(REBUILD)) * MANY + b")" + b"R\x85" * MANY + b".",
    "nested key": b"\x80\x04}" + b")" + b"\x85" * MANY + b"Ns.",
    "doubled key": b"\x80\x04})" + b"q\x00h\x00\x86" * 100 + b"Ns.",
    "doubled keys": b"\x80\x04}()" + b"q\x00h\x00\x86" * 100 + b"Nu.",
    "doubled member": b"\x80\x04(\x8f()" + b"q\x00h\x00\x86" * 100 + b"\x90t.",
    "doubled member of a frozen set": b"\x80\x04()" + b"q\x00h\x00\x86" * 100 + b"\x91.",
    "doubled key of a hidden dictionary": b"\x80\x04cdnnlib.util\nEasyDict\n)\x81)" + b"q\x00h\x00\x86" * 100 + b"Ns.",
    "pairs of a dictionary": b"\x80\x04ccollections\nOrderedDict\n](" + opcodes((1, 2)) * 100 + b"e\x85R.",
    "many arguments": b"\x80\x04"
    + opcodes((None,) * MANY)
    + b"q\x00"
    + (opcodes(Global(REBUILD)) + b"h\x00R") * MANY
    + b".",
    "many members": b"\x80\x04" + opcodes([None] * MANY) + b"\x85q\x00" + (b"cbuiltins\nset\nh\x00R") * MANY + b".",
    "integer": b"\x80\x04\x8b" + struct.pack("<I", 100_000) + b"\x7f" * 100_000 + b".",
    "operations": b"\x80\x04" + b"N" * (MAX_OPERATIONS + 1) + b".",
    "cut off": as_pickle({"G_ema": 1})[:-4],
    "empty": b"",
    "underflow": b"\x80\x04R.",
    "no mark": b"\x80\x04t.",
    "forgotten": b"\x80\x04h\x07.",
    "text": b"hello",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_and_ruins_are_refused_in_little_memory(content: bytes, in_empty_folder: Path) -> None:
    Path("a.pkl").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"cannot import a\.pkl"):
            load_generator("a.pkl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**27


def test_modules_within_themselves_end(in_empty_folder: Path) -> None:
    inner = b"}(" + opcodes("type") + opcodes("class") + opcodes("class_name") + opcodes("Generator")
    inner += opcodes("state") + b"}(" + opcodes("_modules") + b"}\x94" + opcodes("_parameters") + b"}"
    inner += opcodes("_buffers") + b"}" + opcodes("_init_kwargs") + b"}uu"
    network = opcodes(Global(REBUILD)) + inner + b"\x85R\x94"  # memo 0: its modules, 1: the network
    within = b"h\x00(" + b"".join(opcodes(f"m{k}") + b"h\x01" for k in range(50)) + b"u"
    entries = opcodes("x") + network + opcodes("y") + within + opcodes("G_ema") + b"h\x01"
    Path("a.pkl").write_bytes(b"\x80\x04}(" + entries + b"u.")
    with pytest.raises(ValueError, match=r"cannot import a\.pkl.* levels"):
        load_generator("a.pkl")


def storage(payload: bytes, size: tuple[int, ...] = (2, 2), stride: tuple[int, ...] = (2, 1), offset: int = 0) -> Call:
    bytes_call = Call("torch.storage._load_from_bytes", (payload,))
    return Call("torch._utils._rebuild_tensor_v2", (bytes_call, offset, size, stride, False, {}))


def good_payload(count: int = 4) -> bytes:
    payload: bytes = tensor_call(torch.arange(float(count))).arguments[0].arguments[0]
    return payload


def test_a_tensor_is_read_with_its_strides() -> None:
    tensor = stored_tensor(storage(good_payload(6), (2, 2), (1, 2), 1)).read()
    assert tensor.tolist() == [[1, 3], [2, 4]]


HUGE = good_payload().replace(struct.pack("<q", 4), struct.pack("<q", 2**40))
WRONG_TENSORS = {
    "too large": storage(good_payload(), (2**30, 2**9)),
    "beyond its end": storage(good_payload(), offset=1),
    "seen twice": storage(good_payload(), (2**20, 2**19), (0, 0)),
    "negative": storage(good_payload(), offset=-1),
    "dimensions": storage(good_payload(), (2, 2), (1,)),
    "huge storage": storage(HUGE),
    "cut off": storage(good_payload()[:-3]),
    "no storage": storage(b""),
    "code in the storage": storage(pickle.dumps(Trap(os.system, "touch trapped"))),
    "code behind the magic number": storage(pickle.dumps(0x1950A86A20F9469CFC6C) + SYSTEM["reduce"] * 3),
    "a zip file": storage(b"PK\x03\x04" + b"\0" * 100),
    "a number": 3,
}


@pytest.mark.parametrize("record", WRONG_TENSORS.values(), ids=WRONG_TENSORS.keys())
def test_wrong_tensors_are_refused(record: Any, in_empty_folder: Path) -> None:
    with pytest.raises(UnreadablePickleError):
        stored_tensor(record).read()
    assert not Path("trapped").exists()


def test_a_storage_that_many_tensors_share_is_not_copied_for_each(tmp_path: Path) -> None:
    def share(path: str, attributes: dict[str, Any]) -> None:
        if path == "synthesis.b8":
            attributes["_buffers"] |= {f"x{k}.resample_filter": "large" for k in range(50)}

    large = opcodes(tensor_call(torch.zeros(100_000)))
    content = as_pickle(official_content(*players(), change_g=share))
    first = opcodes("large")
    content = content.replace(first, large + b"q\x01", 1).replace(first, b"h\x01")
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="tensors together are larger than the file"):
        load_generator(tmp_path / "a.pkl")


def doubled(kind: str) -> bytes:
    """A hundred levels, each with the one below it twice: a few bytes a level, 2^100 words to print."""
    value = b"}" if kind == "dictionary" else b")"
    for _ in range(100):
        twice = value + b"q\x01", b"h\x01"
        if kind == "dictionary":
            value = b"}(" + opcodes("a") + twice[0] + opcodes("b") + twice[1] + b"u"
        else:
            value = twice[0] + twice[1] + b"\x86"
    return value if kind == "dictionary" else opcodes(Global(REBUILD)) + value + b"R"


@pytest.mark.parametrize("kind", ["call", "dictionary"])
def test_errors_show_doubled_values_in_a_few_words(kind: str, tmp_path: Path) -> None:
    def change(path: str, attributes: dict[str, Any]) -> None:
        if path == "synthesis.b8":
            attributes["architecture"] = "doubled"

    content = as_pickle(official_content(*players(), change_g=change))
    (tmp_path / "a.pkl").write_bytes(content.replace(opcodes("doubled"), doubled(kind)))
    with pytest.raises(ValueError, match=f"synthesis.b8 has architecture a {kind}, where ours is 'skip'"):
        load_generator(tmp_path / "a.pkl")
