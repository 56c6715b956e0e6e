"""What the programs here share: where the regions are, waiting, and saying what was checked."""

import os
import time

A = os.environ.get("REDIS_A", "127.0.0.1:6379").rsplit(":", 1)
B = os.environ.get("REDIS_B", os.environ.get("REDIS_A", "127.0.0.1:6379")).rsplit(":", 1)
WAIT_S = 20
RUN = "%x" % time.time_ns()


def check(what, found, expected=True):
    if found != expected:
        raise SystemExit("FAILED %s: expected %r, found %r" % (what, expected, found))
    print("ok", what)


def eventually(what, look, expected=True):
    """The other region shows it before long."""
    end = time.monotonic() + WAIT_S
    while True:
        found = look()
        if found == expected:
            print("ok", what, "(other region)")
            return
        if time.monotonic() > end:
            raise SystemExit("FAILED %s: expected %r in the other region, found %r" % (what, expected, found))
        time.sleep(0.02)
