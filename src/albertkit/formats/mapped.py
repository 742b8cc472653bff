"""For now another name of `albertkit.mapped`."""

from albertkit.mapped import Bytes, blocks, map_file, release, view, write_blocks

__all__ = ["Bytes", "blocks", "map_file", "release", "view", "write_blocks"]
