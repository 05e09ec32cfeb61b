"""What every `Link` must do, whoever carries it."""

from __future__ import annotations

import asyncio

import pytest

from ble_ota.errors import AttRefusedError, LinkLostError
from ble_ota.link import Link
from tests.gatt.contract import ADDRESS, MTU, NEWS, PROMPT_S, TALK, Rig, handle, handle_of_twin, heard

READ_NOT_PERMITTED, WRITE_NOT_PERMITTED = 0x02, 0x03  # Core Specification Vol 3 Part F 3.4.1.1


# ---------------------------------------------------------------- talking


async def test_write_requests_arrive_in_order(rig: Rig, link: Link) -> None:
    said = [number.to_bytes(2, "big") for number in range(300)]
    for value in said:
        await link.write(handle(link, TALK), value, ack=True)
    assert rig.subject.written_values == said


async def test_write_commands_arrive_in_order(rig: Rig, link: Link) -> None:
    said = [number.to_bytes(2, "big") * 100 for number in range(300)]
    for value in said:
        await link.write(handle(link, TALK), value, ack=False)
    await link.read(handle_of_twin(link))  # comes after them
    assert rig.subject.written_values == said


async def test_a_write_that_is_too_large_is_a_bug_of_the_caller(rig: Rig, link: Link) -> None:
    with pytest.raises(ValueError, match=r"245 bytes .* 244"):
        await link.write(handle(link, TALK), bytes(MTU - 2), ack=True)
    assert rig.subject.written_values == []


async def test_a_write_of_the_largest_size_arrives_whole(rig: Rig, link: Link) -> None:
    value = bytes(range(244))
    await link.write(handle(link, TALK), value, ack=True)
    assert rig.subject.written_values == [value]


async def test_a_refused_read_tells_the_code(link: Link) -> None:
    with pytest.raises(AttRefusedError) as refused:
        await link.read(handle(link, TALK))
    assert refused.value.code == READ_NOT_PERMITTED


async def test_a_refused_write_is_refused(link: Link) -> None:
    with pytest.raises(AttRefusedError) as refused:
        await link.write(handle_of_twin(link), b"x", ack=True)
    assert refused.value.code == WRITE_NOT_PERMITTED


async def test_after_a_refusal_the_link_still_works(link: Link) -> None:
    with pytest.raises(AttRefusedError):
        await link.read(handle(link, TALK))
    assert await link.read(handle_of_twin(link)) == ADDRESS.encode()


@pytest.mark.parametrize("uuid", [TALK, NEWS], ids=["indications", "notifications"])
async def test_what_the_device_says_arrives_in_order(rig: Rig, link: Link, uuid: str) -> None:
    char = handle(link, uuid)
    await link.subscribe(char)
    for number in range(100):
        rig.subject.carrier.send(uuid, bytes((number,)))
    assert [(await heard(link, char)).data for _ in range(100)] == [bytes((n,)) for n in range(100)]


async def test_an_answer_to_a_write_is_heard(rig: Rig, link: Link) -> None:
    rig.subject.on_written = lambda value: rig.subject.carrier.send(TALK, value[::-1])
    await link.subscribe(handle(link, TALK))
    await link.write(handle(link, TALK), b"abc", ack=True)
    assert (await heard(link, handle(link, TALK))).data == b"cba"


async def test_words_of_another_characteristic_stay_for_who_asks_for_them(rig: Rig, link: Link) -> None:
    talk, news = handle(link, TALK), handle(link, NEWS)
    await link.subscribe(talk)
    await link.subscribe(news)
    rig.subject.carrier.send(NEWS, b"first")
    rig.subject.carrier.send(TALK, b"second")
    assert [(await heard(link, char)).data for char in (talk, news)] == [b"second", b"first"]


async def test_what_is_said_before_anybody_subscribed_is_lost(rig: Rig, link: Link) -> None:
    rig.subject.carrier.send(NEWS, b"early")
    await link.read(handle_of_twin(link))  # whatever was under way has arrived
    await link.subscribe(handle(link, NEWS))
    rig.subject.carrier.send(NEWS, b"late")
    assert (await heard(link, handle(link, NEWS))).data == b"late"


# ---------------------------------------------------------------- losing


async def test_a_disconnect_while_waiting_is_told_at_once(rig: Rig, link: Link) -> None:
    await link.subscribe(handle(link, NEWS))
    waiting = asyncio.ensure_future(heard(link, handle(link, NEWS)))
    await link.read(handle_of_twin(link))  # by now it waits
    rig.subject.carrier.disconnect()
    with pytest.raises(LinkLostError):
        await waiting


async def test_a_disconnect_between_writes_is_told_at_once(rig: Rig, link: Link) -> None:
    rig.subject.on_written = lambda value: rig.subject.carrier.disconnect() if value == b"3" else None
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(LinkLostError):
            await write_on(link, ack=True)


@pytest.mark.parametrize("ack", [True, False])
async def test_a_loss_in_the_middle_of_a_write_is_told_at_once(rig: Rig, link: Link, ack: bool) -> None:
    rig.subject.on_written = lambda _value: rig.cut()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(LinkLostError):
            await write_on(link, ack=ack)


async def test_a_loss_in_the_middle_of_many_writes_is_told_to_each(rig: Rig, link: Link) -> None:
    rig.subject.on_written = lambda _value: rig.cut()
    async with asyncio.timeout(PROMPT_S):
        ends = await asyncio.gather(
            *(link.write(handle(link, TALK), b"x", ack=True) for _ in range(5)), return_exceptions=True
        )
    assert [type(end) for end in ends] == [LinkLostError] * 5


async def test_a_large_write_after_a_disconnect_is_a_lost_link_not_a_bug(rig: Rig, link: Link) -> None:
    """The size of the link is gone with it, and what fitted a moment ago no longer would."""
    rig.subject.carrier.disconnect()
    async with asyncio.timeout(PROMPT_S):
        await rig.subject.down.wait()
        with pytest.raises(LinkLostError):
            await write_on(link, ack=True, size=MTU - 3)


async def test_a_disconnect_before_subscribing_is_told_at_once(rig: Rig, link: Link) -> None:
    char = handle(link, NEWS)
    rig.subject.carrier.disconnect()
    async with asyncio.timeout(PROMPT_S):
        await rig.subject.down.wait()
        with pytest.raises(LinkLostError):
            await link.subscribe(char)


async def test_a_device_that_hangs_up_when_called_is_a_lost_link(rig: Rig) -> None:
    rig.subject.on_connected = lambda: rig.subject.carrier.disconnect()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(LinkLostError):
            await a_word(rig)


async def test_after_a_lost_link_the_next_connect_works(rig: Rig, link: Link) -> None:
    rig.subject.carrier.disconnect()
    with pytest.raises(LinkLostError):
        await heard(link, handle(link, NEWS))
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as again:
        assert await again.read(handle_of_twin(again)) == ADDRESS.encode()


async def test_words_before_a_loss_are_still_given(rig: Rig, link: Link) -> None:
    char = handle(link, NEWS)
    await link.subscribe(char)
    for value in (b"1", b"2", b"3"):
        rig.subject.carrier.send(NEWS, value)
    first = await heard(link, char)
    await link.read(handle_of_twin(link))  # all three have arrived
    rig.cut()
    async with asyncio.timeout(PROMPT_S):
        await rig.subject.down.wait()
    assert [first.data, (await heard(link, char)).data, (await heard(link, char)).data] == [b"1", b"2", b"3"]


async def test_after_the_last_word_the_loss_is_told(rig: Rig, link: Link) -> None:
    char = handle(link, NEWS)
    await link.subscribe(char)
    rig.subject.carrier.send(NEWS, b"last")
    assert (await heard(link, char)).data == b"last"
    rig.cut()
    with pytest.raises(LinkLostError):
        await heard(link, char)


async def a_word(rig: Rig) -> None:
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        await heard(link, handle(link, NEWS))


async def write_on(link: Link, *, ack: bool, size: int = 0) -> None:
    """Write 0, 1, 2 … and on and on, each with so many digits."""
    for number in range(1000):
        await link.write(handle(link, TALK), str(number).zfill(size).encode(), ack=ack)
