"""Whims of a lying device, for Hypothesis: near enough to the truth to get past the first answer."""

from __future__ import annotations

from hypothesis import strategies as st

from ble_ota.protocols.quecthing.ttlv import Field, Value
from tests.protocols.quecthing.liar import Whim

RIGHT: st.SearchStrategy[Whim] = st.none()
NUMBERS = st.integers(-1, 12) | st.sampled_from([2**32, 2**64 - 1, -(2**63)])
VALUES: st.SearchStrategy[Value] = NUMBERS | st.booleans() | st.binary(max_size=4) | st.just(())
PACKET_IDS = st.none() | st.integers(999, 1010) | st.sampled_from([0, 1, 0xFFFF])
CONTROL_FIELDS = st.builds(
    lambda action, delay, chunk: (Field(7, action), Field(8, delay), Field(11, chunk)),
    st.integers(1, 7) | VALUES,
    st.integers(1, 20) | VALUES,
    st.integers(1, 5) | VALUES,
)
CONTROLS = st.tuples(st.just(0x7023), PACKET_IDS, CONTROL_FIELDS)
OFFSETS = st.tuples(st.just(0x7026), PACKET_IDS, VALUES.map(lambda said: (Field(9, said),)))
QUERIES = st.tuples(st.just(0x7020), PACKET_IDS, st.just(()))
OTHERS = st.tuples(
    st.integers(0, 0xFFFF), PACKET_IDS, st.lists(st.builds(Field, st.integers(0, 15), VALUES), max_size=3).map(tuple)
)
LIES: st.SearchStrategy[Whim] = (
    CONTROLS | OFFSETS | QUERIES | OTHERS | st.binary(max_size=12) | st.floats(0, 30, allow_nan=False)
)
WHIMS = st.lists(RIGHT | RIGHT | LIES, max_size=30)
