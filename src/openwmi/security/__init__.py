"""Who calls, what they may do, and how their messages are protected.

Import from the modules: `context`, `principals`, `accounts`, `ntlm`, `acceptors`, `throttle`, `descriptor`, `access`.
"""
