"""Publishes one JSON value, confirmed by the gateway: publish.py TOPIC JSON"""

import json
import sys

from gateway import Session

topic, data = sys.argv[1], json.loads(sys.argv[2])
with Session() as session:
    session.ask(op="pub", id=1, topic=topic, data=data)
