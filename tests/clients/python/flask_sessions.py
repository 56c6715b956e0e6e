"""Flask-Session: a session over several requests, read in the other region, and ended."""

import sys

import redis
from flask import Flask, session
from flask_session import Session

from common import A, B, check, eventually


def app(at):
    flask = Flask("shop")
    flask.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(host=at[0], port=int(at[1])), SECRET_KEY="for tests")
    Session(flask)

    @flask.get("/add/<sku>")
    def add(sku):
        session["cart"] = session.get("cart", []) + [sku]
        return ",".join(session["cart"])

    @flask.get("/cart")
    def cart():
        return ",".join(session.get("cart", []))

    @flask.get("/logout")
    def logout():
        session.clear()
        return ""

    return flask


if __name__ == "__main__":
    here, there = app(A).test_client(), app(B).test_client()
    check("first request", here.get("/add/mug").text, "mug")
    check("second request", here.get("/add/hat").text, "mug,hat")
    cookie = here.get_cookie("session")
    there.set_cookie("session", cookie.value)
    # Flask-Session writes the session with every request, reading ones too: the last request of all wins as a whole.
    # So the other region is asked only once it has what was written here.
    key = "session:" + cookie.value
    first, second = (redis.Redis(host=at[0], port=int(at[1])) for at in (A, B))
    eventually("what is kept", lambda: second.get(key) == first.get(key))
    check("session in the other region", there.get("/cart").text, "mug,hat")
    here.get("/logout")
    check("after logout", here.get("/cart").text, "")
    sys.exit(0)
