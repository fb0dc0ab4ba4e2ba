"""What must not bring the line down: broken messages, and many calls."""

import asyncio
import gc
import random
import resource

from tests.agent_process import free_ports
from tests.phone.conftest import until
from tests.phone.softphone import Softphone, mulaw, tone


def mutations(phone, chance):
    """SIP messages with something wrong in each."""
    while True:
        method = chance.choice(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE", "FOO"])
        data = bytearray(phone.request(method, phone.sdp() if chance.random() < 0.6 else "").encode())
        match chance.randrange(6):
            case 0:
                data = bytearray(chance.randbytes(chance.randrange(1, 1500)))
            case 1:
                del data[chance.randrange(len(data)) :]
            case 2:
                for _ in range(chance.randrange(1, 30)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
            case 3:
                lines = data.split(b"\r\n")
                del lines[chance.randrange(len(lines))]
                data = bytearray(b"\r\n".join(lines))
            case 4:
                at = chance.randrange(len(data))
                data[at:at] = chance.choice([b"\0", b"\xff" * 50, b"A" * 5000, b";tag=", b"\r\n\r\n", b"<" * 99])
            case 5:
                data = data.replace(chance.choice([b"127.0.0.1", b"SIP/2.0", b"branch", b"tag="]), chance.randbytes(9))
        yield bytes(data)


async def test_800_broken_messages_leave_the_line_working(line):
    made = await line(max_calls=4, ack_timeout=1.0)
    chance = random.Random(20)
    async with Softphone(made.port) as phone:
        for number, data in zip(range(800), mutations(phone, chance), strict=False):
            phone.send(data[:60000])
            await asyncio.sleep(0.001)  # a socket's buffer is smaller than all of them
            if number % 8 == 0:
                phone.call_id = f"fuzz-{number}"
    await until(lambda: not made.endpoint.calls, 20)
    async with Softphone(made.port) as phone:
        assert (await phone.invite()).status == 200
        await phone.bye()
    await until(lambda: not made.endpoint.calls)
    assert made.endpoint.wire.refused > 100


async def test_100_calls_leave_nothing_behind(line):
    first = free_ports(10)
    made = await line(rtp_ports=(first, first + 9))

    async def call():
        async with Softphone(made.port) as phone:
            assert (await phone.invite()).status == 200
            await phone.speak(mulaw(tone(0.04)))
            await phone.bye()
        await until(lambda: not made.endpoint.calls)
        made.calls.clear()
        made.workers.clear()

    async def census():
        gc.collect()
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()), len(gc.get_objects())

    for _ in range(20):
        await call()
    tasks, objects = await census()
    for _ in range(80):
        await call()
    tasks_after, objects_after = await census()
    print(f"{objects} objects after 20 calls, {objects_after} after 100; {resource.getrusage(0).ru_maxrss >> 10} MiB")
    assert tasks_after <= tasks + 2
    # What remains are the transactions that RFC 3261 keeps for 32 seconds.
    assert objects_after - objects < 80 * 400
