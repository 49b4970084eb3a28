"""Integrations with other libraries, each a module of its own that needs the extra of its name."""
