"""The network once more, as a graph for other engines: read `network.py`."""
