"""Image sets in their packed form: shards of raw pixels that are read without decoding, also over a network."""

from dualgan.data.packed.images import PackedImages, is_packed, open_packed, verify
from dualgan.data.packed.manifest import Manifest, PackedFile, Shard

__all__ = ["Manifest", "PackedFile", "PackedImages", "Shard", "is_packed", "open_packed", "verify"]
