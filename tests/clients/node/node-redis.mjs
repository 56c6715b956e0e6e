// node-redis: RESP2 and RESP3, pipelines by itself, transactions, WATCH, scans.
import { createClient, WatchError } from 'redis'
import { A, B, RUN, check, eventually } from './common.mjs'

for (const RESP of [2, 3]) {
  const client = (at) => createClient({ RESP, socket: at, name: 'everyday' }).on('error', (e) => { throw e }).connect()
  const [a, b] = [await client(A), await client(B)]
  const p = `nr${RESP}:${RUN}:`
  check('PING', await a.ping(), 'PONG')
  check('SET EX', await a.set(p + 's', 'v', { EX: 100 }), 'OK')
  check('GET, TTL', [await a.get(p + 's'), (await a.ttl(p + 's')) > 90], ['v', true])
  check('SET NX', await a.set(p + 's', 'w', { NX: true }), null)
  check('INCR many at once', (await Promise.all(Array.from({ length: 100 }, () => a.incr(p + 'n')))).at(-1), 100)
  check('HSET, HGETALL', [await a.hSet(p + 'h', { a: '1', b: '2' }), { ...(await a.hGetAll(p + 'h')) }], [2, { a: '1', b: '2' }])
  check('HINCRBY', await a.hIncrBy(p + 'h', 'a', 4), 5)
  check('SADD, SISMEMBER', [await a.sAdd(p + 'set', ['x', 'y']), Boolean(await a.sIsMember(p + 'set', 'x'))], [2, true])
  check('ZADD, ZRANGE', [await a.zAdd(p + 'z', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }]), await a.zRangeWithScores(p + 'z', 0, -1)],
    [2, [{ value: 'a', score: 1 }, { value: 'b', score: 2.5 }]])
  check('MULTI', (await a.multi().set(p + 'tx', '1').incrBy(p + 'tx', 4).get(p + 'tx').exec()).map(String), ['OK', '5', '5'])
  await a.watch(p + 'tx')
  await b.ping()
  const other = await client(A)
  await other.set(p + 'tx', 'other')
  let lost = false
  try {
    await a.multi().set(p + 'tx', 'mine').exec()
  } catch (error) {
    lost = error instanceof WatchError
  }
  check('WATCH', [lost, await a.get(p + 'tx')], [true, 'other'])
  const found = []
  for await (const keys of a.scanIterator({ MATCH: p + '*', COUNT: 100 })) found.push(...[keys].flat())
  check('SCAN', found.sort(), ['h', 'n', 's', 'set', 'tx', 'z'].map((k) => p + k))
  check('EXPIRE, PERSIST', [Number(await a.expire(p + 'h', 100)), Number(await a.persist(p + 'h'))], [1, 1])
  check('a big value', (await a.set(p + 'big', 'x'.repeat(1 << 20)), (await a.get(p + 'big')).length), 1 << 20)
  await eventually('hash', async () => ({ ...(await b.hGetAll(p + 'h')) }), { a: '5', b: '2' })
  await eventually('number', () => b.get(p + 'n'), '100')
  check('DEL', await a.del([p + 's', p + 'n']), 2)
  for (const c of [a, b, other]) await c.close()
}
