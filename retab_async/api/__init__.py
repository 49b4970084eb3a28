"""One kind of run over HTTP: its requests, the reading of its responses, and its wire format."""
