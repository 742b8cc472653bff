"""Containers of tensors, read and written without the frameworks that made them."""
