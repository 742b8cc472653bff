"""What the TensorFlow families share: names, configs, graphs, reading and writing."""
