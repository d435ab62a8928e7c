"""Hypothesis strategies for this room's values."""

from __future__ import annotations

from hypothesis import strategies as st

from openwmi.security.descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from openwmi.security.principals import Sid

u8 = st.integers(0, 0xFF)
u32 = st.integers(0, 0xFFFFFFFF)

sids = st.builds(
    Sid,
    st.one_of(st.integers(0, 20), st.integers(0, (1 << 48) - 1)),
    st.lists(u32, max_size=15).map(tuple),
)
_data = st.lists(st.binary(min_size=4, max_size=4), max_size=4).map(b"".join)
_simple_aces = st.builds(Ace, st.sampled_from(list(AceType)), u8, u32, sids, _data)
_foreign_aces = st.builds(
    lambda kind, flags, data: Ace(kind, flags, data=data),
    u8.filter(lambda kind: kind not in list(AceType)),
    u8,
    _data,
)
aces = st.one_of(_simple_aces, _foreign_aces)
acls = st.builds(Acl, st.lists(aces, max_size=5).map(tuple), st.sampled_from([2, 4]))
descriptors = st.builds(
    SecurityDescriptor,
    st.none() | sids,
    st.none() | sids,
    st.none() | acls,
    st.none() | acls,
    st.integers(0, 0xFFFF).map(Control),
    u8,
)

_known_flags = st.integers(0, 0xFF).map(lambda value: value & 0xDF)
_textual_aces = st.builds(Ace, st.sampled_from([0, 1, 2]), _known_flags, u32, sids)
_textual_acls = st.builds(Acl, st.lists(_textual_aces, max_size=5).map(tuple))


@st.composite
def textual_descriptors(draw: st.DrawFn) -> SecurityDescriptor:
    """Descriptors that SDDL can spell: a list's flags are written with the list."""
    dacl, sacl = draw(st.none() | _textual_acls), draw(st.none() | _textual_acls)
    control = draw(st.integers(0, 0xFFFF)) & (Control.DACL_PRESENT | Control.SACL_PRESENT)
    if dacl is not None or control & Control.DACL_PRESENT:
        control |= draw(st.integers(0, 0xFFFF)) & 0x1500
    if sacl is not None or control & Control.SACL_PRESENT:
        control |= draw(st.integers(0, 0xFFFF)) & 0x2A00
    return SecurityDescriptor(draw(st.none() | sids), draw(st.none() | sids), dacl, sacl, Control(control))
