"""The other systems of the sources, each in one file or folder, to compare with."""
