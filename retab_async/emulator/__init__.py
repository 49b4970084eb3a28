"""The API on loopback, from plain JSON, for tests, demonstrations and offline work."""
