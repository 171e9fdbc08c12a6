#!/usr/bin/env python3
"""Polls a job as clients do, until it gets SIGTERM: python3 poll.py URL PHASE

Four clients: with a connection for each request and with one that is kept, every 0.05 s and every 0.5 s. A poll that is refused,
broken off, not answered within 60 s, not 200, or of another phase is a failure, and is printed. At the end: how many there were,
and the longest wait. Exit 1 if any failed or a client never came through.
"""

import http.client
import json
import signal
import sys
import threading
import time
from urllib.parse import urlsplit

url, phase = urlsplit(sys.argv[1]), sys.argv[2]
stop = threading.Event()
lock = threading.Lock()
failures = 0


class Poller(threading.Thread):
    """One client."""

    def __init__(self, keeps, interval):
        super().__init__(daemon=True)
        self.keeps, self.interval = keeps, interval
        self.name = f"{'one connection' if keeps else 'a connection each'}, every {interval} s"
        self.polls, self.longest, self.connection = 0, 0.0, None

    def poll(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        self.connection.request("GET", url.path, headers={} if self.keeps else {"Connection": "close"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200 or json.loads(body)["phase"] != phase:
            raise ValueError(f"{answer.status} {body[:200]!r}")
        if not self.keeps or answer.getheader("Connection", "").lower() == "close":
            self.close()

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def run(self):
        global failures
        while not stop.is_set():
            begin = time.monotonic()
            try:
                self.poll()
                self.polls += 1
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                self.close()
                with lock:
                    failures += 1
                    print(f"FAILED {time.strftime('%T')} ({self.name}): {error!r}", flush=True)
            self.longest = max(self.longest, time.monotonic() - begin)
            stop.wait(self.interval)


pollers = [Poller(keeps, interval) for keeps in (False, True) for interval in (0.05, 0.5)]
signal.signal(signal.SIGTERM, lambda *_: stop.set())
for poller in pollers:
    poller.start()
while not stop.wait(1):
    pass
for poller in pollers:
    poller.join(timeout=65)
    print(f"{poller.polls} polls ({poller.name}), the longest {poller.longest:.2f} s")
print(f"{failures} failures")
sys.exit(1 if failures or not all(poller.polls for poller in pollers) else 0)
