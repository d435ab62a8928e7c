"""asyncio adapters: they own the sockets, the clock and the tasks of the machines in `rpc` and `dcom`."""
