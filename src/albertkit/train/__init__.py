"""Losses, optimizers, the loop, resume, reports. torch."""
