"""Refiners: from the clusters of a readout to better ones, and to shares of hits."""
