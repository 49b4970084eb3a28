"""One kind of run over HTTP: requests, responses, and how the wire differs between kinds."""
