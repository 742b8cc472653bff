"""ONNX graphs of an ALBERT, read by following the numbers. In the order of reading:

tensors, graph           the bytes of a file, without the onnx package
expand, parts            one operation a node; products with constants, each with its weights
ops, run, attention      a small interpreter for the nodes between those products
probe                    what such nodes compute, told by trying them on numbers
embeddings, walk, heads  from the inputs to the outputs; layers counts blocks that are shared
config                   what the graph says of the config
"""
