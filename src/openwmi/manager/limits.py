"""How much of everything: the object manager's limits, with Windows' own numbers where it publishes them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lengths count UTF-16 code units (MS-WMI 3.1.4); what exceeds one is WBEM_E_QUOTA_VIOLATION.

    `requests` is MaxRequestLimit (3.1.1): with so many operations running, a further one is WBEM_E_SERVER_TOO_BUSY;
    `requests_per_caller` is how many of them one account may have (WBEM_E_QUOTA_VIOLATION).
    `async_operations_per_caller` is how many sinks one account may have waiting (WBEM_E_QUOTA_VIOLATION).
    `results_buffered` is how far one operation may run ahead of whoever takes its results, in objects: it waits for
    them. Results that wait to be fetched longer than their operation runs, or that may be fetched again, take
    `results_in_memory` octets (about) and, beyond those, `results_on_disk` octets of temporary files, of which
    `results_on_disk_per_caller` for one account; an enumeration that needs more fails (WBEM_E_QUOTA_VIOLATION).
    Seconds: `provider_deadline` is what loading a provider, and each call of one, may take (None: no limit; then it
    fails with WBEM_E_PROVIDER_TIMED_OUT), `pause` how long the repository stays paused when nobody resumes it (3.1.2).
    """

    object_path: int = 8_192
    query: int = 16_384
    class_name: int = 4_096
    login_namespace: int = 8_173
    requests: int = 5_000
    requests_per_caller: int = 1_000
    results_buffered: int = 1_000
    results_in_memory: int = 64 << 20
    results_on_disk: int = 1 << 30
    results_on_disk_per_caller: int = 256 << 20
    async_operations_per_caller: int = 1_000
    provider_deadline: float | None = 60.0
    pause: float = 900.0
