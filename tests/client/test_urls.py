from __future__ import annotations

import pytest

from openwmi.client.urls import Target, parse_url
from openwmi.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("local", Target("local")),
        ("local:", Target("local")),
        ("local:/var/lib/wmi.db", Target("local", path="/var/lib/wmi.db")),
        ("server", Target("dcom", "server")),
        ("dcom://server", Target("dcom", "server")),
        ("dcom://admin@server", Target("dcom", "server", user="admin")),
        ("dcom://admin@server:1350", Target("dcom", "server", 1350, "admin")),
        ("admin@server:1350", Target("dcom", "server", 1350, "admin")),
        ("dcom://CORP%5Cadmin@server", Target("dcom", "server", user="CORP\\admin")),
        ("dcom://CORP;admin@server", Target("dcom", "server", user="CORP\\admin")),
        ("dcom://admin%40corp.example@server", Target("dcom", "server", user="admin@corp.example")),
        ("dcom://server/root/cimv2", Target("dcom", "server", namespace="root\\cimv2")),
        ("dcom://server/root%5Ccimv2/", Target("dcom", "server", namespace="root\\cimv2")),
        ("dcom://[::1]:1350/root", Target("dcom", "::1", 1350, namespace="root")),
        ("DCOM://server", Target("dcom", "server")),
    ],
)
def test_parts(url: str, target: Target) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("dcom://admin:secret@server", "password"),
        ("admin:@server", "password"),
        ("dcom://", "no host"),
        ("dcom://admin@", "no host"),
        ("dcom://server:70000", "the port in the URL is no number from 1 to 65535"),
        ("dcom://server:port", "the port in the URL"),
        ("dcom://server:0", "the port in the URL"),
        ("server:-1", "the port in the URL"),
        ("dcom://ada:secret", "the port in the URL"),
        ("dcom://[::1", "no URL"),
        ("wsman://server", "will follow with WS-Management"),
        ("wsmans://server", "will follow with WS-Management"),
        ("auto://server", "will follow with WS-Management"),
        ("http://server", "not known"),
        ("dcom://server/root?x=1", "mean nothing"),
        ("dcom://server/root#x", "mean nothing"),
        ("", "no host"),
    ],
)
def test_what_is_no_target(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
