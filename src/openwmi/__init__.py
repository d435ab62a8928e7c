"""Windows Management Instrumentation for every platform: a server, a client and a test double."""

__version__ = "0.1.0"
