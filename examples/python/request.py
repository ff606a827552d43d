"""Asks and prints the answer: request.py TOPIC JSON"""

import json
import sys

from gateway import Session

topic, data = sys.argv[1], json.loads(sys.argv[2])
with Session() as session:
    answer = session.ask(op="req", id=1, topic=topic, data=data, timeout_ms=5000)
    print(answer.get("data"), "from", answer["from"])
