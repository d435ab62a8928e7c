"""Sessions: what people write against. asyncio is the implementation, the synchronous API a facade over it."""
