"""Prints what is published: subscribe.py PATTERN [COUNT]"""

import sys

from gateway import Session

pattern, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
with Session() as session:
    session.ask(op="sub", id=1, sid=1, topic=pattern)
    print(f"{session.hello['service']} listens to {pattern}", file=sys.stderr, flush=True)
    while count is None or count > 0:
        message = session.receive()
        if message["op"] == "msg":
            print(message["topic"], "from", message["from"], message.get("data"), flush=True)
            count = count and count - 1
        else:
            # revoked_sub, draining and what later versions may say.
            print(message, file=sys.stderr, flush=True)
