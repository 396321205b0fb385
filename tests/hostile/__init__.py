"""Damaged files, folders and arguments: every one is read right, or refused with one clear error."""
