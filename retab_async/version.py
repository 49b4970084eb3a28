"""The version of the package, apart from everything that is slow to load."""

VERSION = "0.2.0"
