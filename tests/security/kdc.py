"""A Kerberos realm for as long as tests last: MIT's KDC on 127.0.0.1, a few accounts and a service."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REALM: Final = "OPENWMI.TEST"
USER, PASSWORD = "ada", "Correct-Horse-7"
STRANGER: Final = "mallory"
SERVICE_HOST: Final = "server.openwmi.test"

# Where Debian and others put the KDC's tools, which are not on a user's path.
_PATH: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/krb5kdc"])

_CONFIGURATION: Final = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        kdc_listen = ""
        kdc_tcp_listen = 127.0.0.1:{port}
    }}
[domain_realm]
    .openwmi.test = {realm}
[logging]
    kdc = FILE:{folder}/kdc.log
    default = FILE:{folder}/log
"""


def missing() -> str | None:
    """What a realm would need and this machine has not."""
    for tool in ("krb5kdc", "kdb5_util", "kadmin.local"):
        if shutil.which(tool, path=_PATH) is None:
            return f"{tool} (Debian packages krb5-kdc and krb5-admin-server)"
    try:
        import gssapi  # noqa: F401
        import krb5  # noqa: F401
    except ImportError as error:
        return f"{error.name} (the extra openwmi[kerberos])"
    return None


@dataclass
class Realm:
    """A running realm. `environment` leads a process's Kerberos library to it."""

    folder: Path
    keytab: Path
    environment: dict[str, str]
    kdc: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path) -> Realm:
        """Makes the realm in an empty folder, and waits until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        configuration = folder / "krb5.conf"
        configuration.write_text(_CONFIGURATION.format(realm=REALM, folder=folder, port=port))
        (folder / "acl").write_text("")
        environment = {
            "KRB5_CONFIG": str(configuration),
            "KRB5_KDC_PROFILE": str(configuration),
            "KRB5CCNAME": f"FILE:{folder}/cache",
        }
        keytab = folder / "server.keytab"
        tools = {**os.environ, **environment, "PATH": _PATH}

        def run(*command: str) -> None:
            subprocess.run(command, env=tools, check=True, capture_output=True, timeout=60)

        run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        for query in (
            f"addprinc -pw {PASSWORD} {USER}",
            f"addprinc -pw {PASSWORD} {STRANGER}",
            f"addprinc -pw {PASSWORD} {USER}/admin",
            f"addprinc -randkey host/{SERVICE_HOST}",
            f"ktadd -k {keytab} host/{SERVICE_HOST}",
        ):
            # The name of who does it, which it asks the system for otherwise: a container may not know its user.
            run("kadmin.local", "-r", REALM, "-p", f"{USER}/admin", "-q", query)
        kdc = subprocess.Popen(
            [shutil.which("krb5kdc", path=_PATH) or "krb5kdc", "-n", "-r", REALM],
            env=tools,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                if kdc.poll() is not None:
                    raise RuntimeError(f"krb5kdc ended with {kdc.returncode}") from None
        return cls(folder, keytab, environment, kdc)

    def tickets(self, user: str, cache: Path) -> Path:
        """A file with fresh tickets of a user, whose password is `PASSWORD`."""
        import krb5

        context = krb5.init_context()
        principal = krb5.parse_name_flags(context, f"{user}@{REALM}".encode())
        options = krb5.get_init_creds_opt_alloc(context)
        credentials = krb5.get_init_creds_password(context, principal, options, password=PASSWORD.encode())
        made = krb5.cc_resolve(context, f"FILE:{cache}".encode())
        krb5.cc_initialize(context, made, principal)
        krb5.cc_store_cred(context, made, credentials)
        return cache

    def stop(self) -> None:
        """Ends the KDC."""
        self.kdc.terminate()
        self.kdc.wait(10)
