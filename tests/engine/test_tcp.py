"""Engines on real sockets of the loopback interface, several in one process: nothing of them blocks."""

import socket
import threading
import time

import numpy as np
import psutil
import pytest
from loopback import connected

from calibrate.engine import rendezvous
from calibrate.engine.base import ClusterError, MessageSizeError, PeerLostError
from calibrate.engine.rendezvous import Book, listen, meet
from calibrate.engine.tcp import SMALL_BYTES

LARGE = 3 * SMALL_BYTES + 7


@pytest.fixture
def engines(request):
    made = connected(getattr(request, "param", 2))
    yield made
    for engine in made:
        engine._close()


def settle(*pendings, limit_s=10.0):
    end = time.monotonic() + limit_s
    left = list(pendings)
    while left and time.monotonic() < end:
        left = [one for one in left if not one.test()]
    assert not left


def numbers(length, seed=0):
    return np.random.default_rng(seed).integers(0, 255, length, np.uint8)


@pytest.mark.parametrize("length", [1, 8, SMALL_BYTES - 1, SMALL_BYTES, LARGE, 2_000_003])
@pytest.mark.parametrize("first", ["send", "receive"])
def test_a_message_arrives_whole_whoever_begins(engines, length, first):
    one, other = engines
    content, room = numbers(length), np.zeros(length, np.uint8)
    steps = {"send": lambda: one.send(content, 1, 7), "receive": lambda: other.receive(room, 0, 7)}
    begun = [steps.pop(first)()]
    one.progress(0.0)
    other.progress(0.05)
    settle(*begun, *(step() for step in steps.values()))
    np.testing.assert_array_equal(room, content)


@pytest.mark.parametrize("engines", [3], indirect=True)
def test_messages_of_all_sizes_between_all_at_once_keep_their_order_by_tag(engines):
    lengths = [10, LARGE, 100, 400_001, SMALL_BYTES, 1]
    sent, received = [], []
    for source in engines:
        for to in engines:
            for tag in (1, 2):
                for index, length in enumerate(lengths):
                    content = numbers(length, seed=1000 * source.rank + 100 * to.rank + 10 * tag + index)
                    sent.append(source.send(content, to.rank, tag))
    for to in engines:
        for source in engines:
            for tag in (2, 1):
                for index, length in enumerate(lengths):
                    room = np.zeros(length, np.uint8)
                    received.append((to.receive(room, source.rank, tag), room, source.rank, to.rank, tag, index))
    settle(*sent, *(one[0] for one in received))
    for _, room, source, to, tag, index in received:
        np.testing.assert_array_equal(room, numbers(room.size, seed=1000 * source + 100 * to + 10 * tag + index))


def test_a_long_message_does_not_move_before_it_is_asked_for(engines):
    one, other = engines
    pending = one.send(numbers(5_000_000), 1, 3)
    for _ in range(20):
        one.progress(0.005)
        other.progress(0.005)
    assert not pending.test()
    settle(pending, other.receive(np.zeros(5_000_000, np.uint8), 0, 3))


def test_a_small_message_overtakes_a_long_one_on_its_way(engines):
    one, other = engines
    long, room = one.send(numbers(50_000_000), 1, 3), np.zeros(50_000_000, np.uint8)
    arriving = other.receive(room, 0, 3)
    for _ in range(5):
        one.progress(0.01)
        other.progress(0.01)
    small, note = one.send(np.ones(1, np.int64), 1, 4), np.zeros(1, np.int64)
    settle(small, other.receive(note, 0, 4))
    assert not arriving.test()
    settle(long, arriving)


@pytest.mark.parametrize(("sent", "expected"), [(8, 16), (16, 8), (LARGE, LARGE + 1), (LARGE, 8), (8, LARGE)])
@pytest.mark.parametrize("to_itself", [False, True])
def test_a_message_of_another_length_is_refused(engines, sent, expected, to_itself):
    one, other = engines[0], engines[0 if to_itself else 1]
    one.send(numbers(sent), other.rank, 5)
    pending = other.receive(np.zeros(expected, np.uint8), 0, 5)
    with pytest.raises(MessageSizeError, match=f"{sent} bytes from rank 0, expected {expected}"):
        settle(pending)


def test_everything_under_way_with_a_process_that_ends_fails(engines):
    one, other = engines
    pendings = [
        one.receive(np.zeros(8), 1, 1),
        one.receive(np.zeros(LARGE), 1, 2),
        one.send(np.zeros(LARGE), 1, 3),
    ]
    other._close()
    for pending in pendings:
        with pytest.raises(PeerLostError, match="rank 1 has ended"):
            settle(pending)
    with pytest.raises(PeerLostError) as caught:
        settle(one.send(np.zeros(8), 1, 4))
    assert caught.value.rank == 1


def test_what_arrived_before_its_sender_ended_can_still_be_received(engines):
    one, other = engines
    settle(other.send(np.full(4, 9.0), 0, 1))
    other._close()
    for _ in range(5):
        one.progress(0.01)
    room = np.zeros(4)
    settle(one.receive(room, 1, 1))
    assert room.tolist() == [9.0] * 4


def test_a_receiver_that_gave_up_takes_no_message_from_the_next(engines):
    one, other = engines
    other.receive(np.zeros(1), 0, 1).cancel()
    room = np.zeros(1)
    settle(one.send(np.ones(1), 1, 1), other.receive(room, 0, 1))
    assert room[0] == 1.0


def test_bytes_that_are_no_message_end_the_connection_with_their_sender(engines):
    one, other = engines
    pending = one.receive(np.zeros(8), 1, 1)
    other._peers[0].notes.send(b"\xff" * 64)
    with pytest.raises(PeerLostError, match="what is no message"):
        settle(pending)


def test_a_process_that_sends_what_nobody_wants_does_not_fill_the_memory(engines):
    one, other = engines
    pending = one.receive(np.zeros(8), 1, 1)
    content = np.zeros(SMALL_BYTES - 1, np.uint8)
    for _ in range(1100):
        other.send(content, 0, 2)
        other.progress(0.0)
        one.progress(0.0)
    with pytest.raises(PeerLostError, match="bytes that nobody wants"):
        settle(pending)


def test_all_leave_together():
    made = connected(3)
    threads = [threading.Thread(target=engine.finish) for engine in made]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin < 4


def listening():
    own = psutil.Process().net_connections("tcp")
    return [one.laddr for one in own if one.status == psutil.CONN_LISTEN]


def test_a_process_listens_on_its_own_address_alone_and_only_until_all_have_come():
    before = set(listening())
    listeners = [listen("127.0.0.1"), listen("127.0.0.2")]
    assert {address.ip for address in set(listening()) - before} == {"127.0.0.1", "127.0.0.2"}
    book = Book.of(["127.0.0.1", "127.0.0.2"], [one.getsockname()[1] for one in listeners], 2**17)
    found = []
    thread = threading.Thread(target=lambda: found.append(meet(1, listeners[1], book)))
    thread.start()
    found.append(meet(0, listeners[0], book))
    thread.join()
    assert set(listening()) <= before
    for connections in found:
        for pair in connections.values():
            for connection in pair:
                connection.close()


def test_strangers_are_sent_away_and_keep_nobody_waiting():
    listeners = [listen("127.0.0.1") for _ in range(2)]
    place = listeners[0].getsockname()
    silent, wrong = socket.create_connection(place), socket.create_connection(place)
    wrong.sendall(rendezvous._HELLO.pack(b"x" * 32, 1, 0))
    begin = time.monotonic()
    made = connected(2, listeners=listeners)
    assert time.monotonic() - begin < 3
    room = np.zeros(3)
    settle(made[1].send(np.arange(3.0), 0, 1), made[0].receive(room, 1, 1))
    assert room.tolist() == [0.0, 1.0, 2.0]
    wrong.settimeout(10)
    assert wrong.recv(1) == b""
    for one in (silent, wrong):
        one.close()
    for engine in made:
        engine._close()


def test_an_address_of_another_host_is_refused():
    with pytest.raises(ClusterError, match=r"cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1")


def test_a_process_that_does_not_come_is_named(monkeypatch):
    monkeypatch.setattr(rendezvous, "START_S", 0.2)
    listener = listen("127.0.0.1")
    book = Book.of(["127.0.0.1"] * 2, [listener.getsockname()[1], 1], 2**17)
    with pytest.raises(ClusterError, match=r"rank 0 waited 0 s for rank 1"):
        meet(0, listener, book)
