"""Django: the cache API on the built-in RedisCache and on django-redis, and sessions kept in the cache."""

import os
import sys

import django
from django.conf import settings

from common import A, B, RUN, check, eventually

URL_A, URL_B = "redis://%s:%s" % tuple(A), "redis://%s:%s" % tuple(B)
settings.configure(
    SECRET_KEY="for tests",
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL_A, "KEY_PREFIX": RUN},
        "other": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL_B, "KEY_PREFIX": RUN},
        "django-redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL_A + "/0", "KEY_PREFIX": RUN + "dr"},
        "django-redis-other": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL_B + "/0", "KEY_PREFIX": RUN + "dr"},
    },
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import caches  # noqa: E402


def cache_api(name, other_name, scripts):
    cache, other = caches[name], caches[other_name]
    cache.set("k", {"a": [1, 2]}, 60)
    check(name + " set, get", cache.get("k"), {"a": [1, 2]})
    eventually(name + " set", lambda: other.get("k"), {"a": [1, 2]})
    check(name + " add", (cache.add("k", 1), cache.add("new", 1, 60)), (False, True))
    check(name + " set_many, get_many", (cache.set_many({"x": 1, "y": 2}, 60) or [], cache.get_many(["x", "y", "z"])), ([], {"x": 1, "y": 2}))
    if scripts:
        check(name + " incr, decr", (cache.incr("x", 5), cache.decr("x", 2)), (6, 4))
    check(name + " touch", (cache.touch("x", 120), cache.touch("none", 120)), (True, False))
    check(name + " delete", (cache.delete("y"), cache.get("y")), (True, None))
    cache.delete_many(["x", "k"])
    check(name + " delete_many", cache.get_many(["x", "k"]), {})
    check(name + " get_or_set", cache.get_or_set("made", lambda: 7, 60), 7)


def sessions():
    session = SessionStore()
    session["cart"] = ["mug"]
    session.save()
    key = session.session_key
    check("session", SessionStore(key)["cart"], ["mug"])
    again = SessionStore(key)
    again["user"] = 7
    again.save()
    again.cycle_key()
    check("session after login", (again.session_key != key, SessionStore(again.session_key)["user"], SessionStore(key).exists(key)), (True, 7, False))
    again.flush()
    check("session after logout", SessionStore(key).exists(key), False)


if __name__ == "__main__":
    cache_api("default", "other", True)
    # django-redis increments by a script that writes, which is refused on replicated keys for now.
    cache_api("django-redis", "django-redis-other", os.environ.get("SCRIPTS") == "yes")
    sessions()
    sys.exit(0)
