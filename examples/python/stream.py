"""Publishes numbered messages to itself for SECONDS, through as many certificates as that takes, and tells in one line of
JSON what became of them; the exit code is 1 unless all came, once and in order, on one connection.

stream.py SECONDS [MESSAGES_PER_SECOND]
"""

import json
import sys
import time

from gateway import Session
from websockets.exceptions import WebSocketException

LAST_WAIT_SECONDS = 5
RETRY_SECONDS = 1


class Tally:
    """Which numbers came. Keeps only those that are missing, so that a stream may be as long as it likes."""

    def __init__(self):
        self.sent = self.next = self.duplicated = self.reordered = 0
        self.missing = set()

    def count(self, number):
        if number >= self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
        elif number in self.missing:
            self.missing.remove(number)
            self.reordered += 1
        else:
            self.duplicated += 1

    @property
    def lost(self):
        return len(self.missing) + self.sent - self.next


def take(session, tally, timeout):
    """Counts the next message, if one comes in time."""
    try:
        message = session.receive(timeout)
    except TimeoutError:
        return
    if message["op"] == "msg":
        tally.count(message["data"])
    else:
        print(message, file=sys.stderr, flush=True)


def stream(session, tally, end, pace):
    """Publishes and receives until `end`, then waits a moment for what is still under way."""
    topic = f"services.{session.hello['service']}.stream"
    session.ask(op="sub", id=1, sid=1, topic=topic)
    due = time.monotonic()
    while (now := time.monotonic()) < end:
        if now >= due:
            session.send(op="pub", topic=topic, data=tally.sent)
            tally.sent += 1
            due = max(due + pace, now)
        take(session, tally, max(min(due, end) - time.monotonic(), 0))
    while tally.lost and time.monotonic() < end + LAST_WAIT_SECONDS:
        take(session, tally, 0.1)


def main():
    seconds, pace = float(sys.argv[1]), 1 / float(sys.argv[2] if len(sys.argv) > 2 else 100)
    end = time.monotonic() + seconds
    tally, proofs, reconnects = Tally(), 0, -1
    while time.monotonic() < end:
        reconnects += 1
        try:
            with Session() as session:
                try:
                    stream(session, tally, end, pace)
                finally:
                    proofs += session.renewal.proofs
        except (OSError, WebSocketException) as fault:
            print(fault, file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)
    result = {
        "messages": tally.sent,
        "lost": tally.lost,
        "duplicated": tally.duplicated,
        "reordered": tally.reordered,
        "reauthentications": proofs,
        "reconnects": reconnects,
    }
    print(json.dumps(result))
    if tally.sent == 0 or tally.lost or tally.duplicated or tally.reordered or reconnects:
        raise SystemExit(1)


main()
