"""redis-py: the everyday calls, RESP2 and RESP3, pipelines, transactions, WATCH, locks, scans, sync and asyncio."""

import asyncio
import sys

import redis
from redis import asyncio as aioredis

from common import A, B, RUN, check, eventually


def connect(at, protocol):
    return redis.Redis(host=at[0], port=int(at[1]), protocol=protocol, decode_responses=True, client_name="everyday")


def everyday(protocol):
    a, b = connect(A, protocol), connect(B, protocol)
    p = "py%d:%s:" % (protocol, RUN)
    check("PING", a.ping())
    check("SET EX", a.set(p + "s", "v", ex=100))
    check("GET", a.get(p + "s"), "v")
    check("TTL", 95 <= a.ttl(p + "s") <= 100)
    check("SET NX of what is there", a.set(p + "s", "w", nx=True), None)
    check("SET XX GET", a.set(p + "s", "w", xx=True, get=True), "v")
    check("GETEX", a.getex(p + "s", ex=200), "w")
    check("GETSET", a.getset(p + "s", "x"), "w")
    check("GETDEL", a.getdel(p + "s"), "x")
    check("MSET, MGET", (a.mset({p + "m1": "1", p + "m2": "2"}), a.mget(p + "m1", p + "none", p + "m2")), (True, ["1", None, "2"]))
    check("INCR, DECRBY, INCRBYFLOAT", (a.incr(p + "n"), a.decrby(p + "n", 3), a.incrbyfloat(p + "f", 0.25)), (1, -2, 0.25))
    check("APPEND, STRLEN, GETRANGE, SETRANGE", (a.append(p + "t", "hello"), a.strlen(p + "t"), a.getrange(p + "t", 1, 3), a.setrange(p + "t", 0, "J")), (5, 5, "ell", 5))
    check("SETBIT, BITCOUNT, BITFIELD", (a.setbit(p + "b", 7, 1), a.bitcount(p + "b"), a.bitfield(p + "bf").incrby("u8", 0, 200).incrby("u8", 0, 100, "SAT").execute()), (0, 1, [200, 255]))
    check("HSET, HGETALL", (a.hset(p + "h", mapping={"a": "1", "b": "2"}), a.hgetall(p + "h")), (2, {"a": "1", "b": "2"}))
    check("HINCRBY, HINCRBYFLOAT, HDEL, HEXISTS", (a.hincrby(p + "h", "a", 4), a.hincrbyfloat(p + "h", "c", 1.5), a.hdel(p + "h", "b"), a.hexists(p + "h", "b")), (5, 1.5, 1, False))
    check("HMGET, HKEYS, HLEN, HSETNX", (a.hmget(p + "h", "a", "b"), sorted(a.hkeys(p + "h")), a.hlen(p + "h"), a.hsetnx(p + "h", "a", "9")), (["5", None], ["a", "c"], 2, 0))
    check("SADD, SMEMBERS, SISMEMBER", (a.sadd(p + "set", "x", "y", "z"), a.smembers(p + "set"), bool(a.sismember(p + "set", "x"))), (3, {"x", "y", "z"}, True))
    check("SREM, SPOP, SCARD", (a.srem(p + "set", "x"), a.spop(p + "set") in ("y", "z"), a.scard(p + "set")), (1, True, 1))
    a.sadd(p + "set2", "1", "2", "3")
    check("SMOVE, SINTERSTORE, SUNIONSTORE", (a.smove(p + "set2", p + "set3", "1"), a.sinterstore(p + "si", p + "set2", p + "set3"), a.sunionstore(p + "su", p + "set2", p + "set3")), (True, 0, 3))
    check("ZADD, ZINCRBY, ZSCORE", (a.zadd(p + "z", {"a": 1, "b": 2.5}), a.zincrby(p + "z", 2, "a"), a.zscore(p + "z", "a")), (2, 3.0, 3.0))
    check("ZADD XX GT CH", a.zadd(p + "z", {"a": 1, "b": 9}, xx=True, gt=True, ch=True), 1)
    pairs = [["a", 3.0], ["b", 9.0]]
    check("ZRANGE WITHSCORES", [list(x) for x in a.zrange(p + "z", 0, -1, withscores=True)], pairs)
    check("ZRANGEBYSCORE, ZRANK, ZCOUNT", (a.zrangebyscore(p + "z", 4, "+inf"), a.zrank(p + "z", "b"), a.zcount(p + "z", 0, 5)), (["b"], 1, 1))
    check("ZRANGESTORE, ZUNIONSTORE", (a.zrangestore(p + "zs", p + "z", 0, 0), a.zunionstore(p + "zu", {p + "z": 2, p + "zs": 1})), (1, 2))
    check("ZPOPMIN", [list(x) if isinstance(x, (list, tuple)) else x for x in a.zpopmin(p + "z")] in ([["a", 3.0]], ["a", 3.0]))
    check("BZPOPMIN", list(a.bzpopmin(p + "z", timeout=1)), [p + "z", "b", 9.0])
    check("BZPOPMIN of nothing", a.bzpopmin(p + "z", timeout=0.1), None)
    check("GEOADD, GEODIST", (a.geoadd(p + "g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), round(a.geodist(p + "g", "Palermo", "Catania"))), (2, 166274))
    check("GEOSEARCHSTORE", a.geosearchstore(p + "gs", p + "g", longitude=15, latitude=37, radius=200, unit="km"), 2)
    check("PFADD, PFCOUNT, PFMERGE", (a.pfadd(p + "p", "1", "2"), a.pfcount(p + "p"), a.pfmerge(p + "q", p + "p")), (1, 2, True))
    check("EXPIRE NX, PERSIST", (a.expire(p + "h", 100, nx=True), a.expire(p + "h", 200, nx=True), a.persist(p + "h")), (True, False, True))
    check("RENAME, COPY, EXISTS, TYPE, UNLINK", (a.rename(p + "t", p + "t2"), a.copy(p + "t2", p + "t3"), a.exists(p + "t", p + "t2"), a.type(p + "t2"), a.unlink(p + "t3")), (True, True, 1, "string", 1))
    check("SCAN", sorted(a.scan_iter(match=p + "m*")), [p + "m1", p + "m2"])
    check("HSCAN, SSCAN, ZSCAN", (dict(a.hscan_iter(p + "h")), set(a.sscan_iter(p + "su")), dict(a.zscan_iter(p + "zu"))), ({"a": "5", "c": "1.5"}, {"1", "2", "3"}, {"a": 9.0, "b": 18.0}))
    wrong = None
    try:
        a.incr(p + "h")
    except redis.ResponseError as error:
        wrong = str(error)
    check("WRONGTYPE", wrong.startswith("WRONGTYPE"))
    check("pipeline", a.pipeline(transaction=False).set(p + "pl", "1").incr(p + "pl").get(p + "pl").execute(), [True, 2, "2"])
    check("MULTI", a.pipeline().set(p + "tx", "1").incrby(p + "tx", 4).hset(p + "txh", "f", "v").get(p + "tx").execute(), [True, 5, 1, "5"])

    def move(pipe):
        left = int(pipe.get(p + "tx"))
        pipe.multi()
        pipe.set(p + "tx", left - 1)
    check("WATCH through transaction()", a.transaction(move, p + "tx"), [True])
    with a.pipeline() as pipe:
        pipe.watch(p + "tx")
        connect(A, protocol).set(p + "tx", "other")
        pipe.multi()
        pipe.set(p + "tx", "mine")
        lost = False
        try:
            pipe.execute()
        except redis.WatchError:
            lost = True
    check("WATCH sees another writer", (lost, a.get(p + "tx")), (True, "other"))
    check("INFO, CLIENT", ("redis_version" in a.info(), isinstance(a.client_id(), int), a.client_getname(), len(a.client_list()) > 0), (True, True, "everyday", True))
    check("CONFIG GET, DBSIZE, TIME", (isinstance(a.config_get("save"), dict), a.dbsize() > 0, len(a.time())), (True, True, 2))
    check("TOUCH, RANDOMKEY", (a.touch(p + "su", p + "none"), a.randomkey() is not None), (1, True))
    eventually("hash", lambda: b.hgetall(p + "h"), {"a": "5", "c": "1.5"})
    eventually("set", lambda: b.smembers(p + "su"), {"1", "2", "3"})
    eventually("sorted set", lambda: b.zscore(p + "zu", "b"), 18.0)
    eventually("transaction", lambda: (b.get(p + "tx"), b.hget(p + "txh", "f")), ("other", "v"))
    eventually("HyperLogLog", lambda: b.pfcount(p + "q"), 2)
    b.hincrby(p + "h", "a", 10)
    eventually("increment made elsewhere", lambda: a.hget(p + "h", "a"), "15")
    eventually("deleted", lambda: (a.delete(p + "su"), b.exists(p + "su"))[1], 0)


async def everyday_async():
    a = aioredis.Redis(host=A[0], port=int(A[1]), decode_responses=True)
    p = "aio:%s:" % RUN
    async with a.pipeline(transaction=True) as pipe:
        done = await pipe.set(p + "k", "v").expire(p + "k", 60).get(p + "k").execute()
    check("asyncio MULTI", done, [True, True, "v"])
    many = await asyncio.gather(*(a.hincrby(p + "h", "n", 1) for _ in range(100)))
    check("asyncio, 100 at once", (sorted(many), await a.hget(p + "h", "n")), (list(range(1, 101)), "100"))
    await a.aclose()


if __name__ == "__main__":
    for protocol in (2, 3):
        everyday(protocol)
    asyncio.run(everyday_async())
    sys.exit(0)
