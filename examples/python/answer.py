"""Answers requests with what they asked, doubled: answer.py TOPIC [COUNT]"""

import sys

from gateway import Session

topic, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
with Session() as session:
    session.ask(op="sub", id=1, sid=1, topic=topic)
    print(f"{session.hello['service']} answers on {topic}", file=sys.stderr, flush=True)
    while count is None or count > 0:
        message = session.receive()
        if message["op"] == "msg" and "reply" in message:
            session.send(op="res", reply=message["reply"], data=2 * message["data"])
            count = count and count - 1
