"""From embeddings to what is found in an event: clusters, their shares of hits and their energies."""
