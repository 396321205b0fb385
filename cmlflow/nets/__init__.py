"""Torch modules and nothing else: backbones, heads, and the network of both."""
