"""Integrations with other libraries, one module each; a module imports its own library alone."""
