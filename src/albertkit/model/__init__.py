"""The network and its heads. torch."""
