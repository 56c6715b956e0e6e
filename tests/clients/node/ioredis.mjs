// ioredis: its handshake with the INFO ready check, pipelines, transactions, key prefixes, streams of scans.
import Redis from 'ioredis'
import { A, B, RUN, check, eventually } from './common.mjs'

const keyPrefix = `io:${RUN}:`
const [a, b] = [A, B].map((at) => new Redis({ ...at, keyPrefix, lazyConnect: true }))
await Promise.all([a.connect(), b.connect()])
check('ready', [a.status, b.status], ['ready', 'ready'])
check('SET, GET', [await a.set('s', 'v', 'EX', 100), await a.get('s')], ['OK', 'v'])
check('GETDEL, SETNX', [await a.getdel('s'), await a.setnx('s', 'w')], ['v', 1])
check('MSET, MGET', [await a.mset('x', 1, 'y', 2), await a.mget('x', 'y', 'z')], ['OK', ['1', '2', null]])
check('hashes', [await a.hset('h', { a: 1, b: 2 }), await a.hincrby('h', 'a', 4), { ...(await a.hgetall('h')) }], [2, 5, { a: '5', b: '2' }])
check('pipeline', await a.pipeline().set('p', 1).incr('p').hget('h', 'a').exec(), [[null, 'OK'], [null, 2], [null, '5']])
check('multi', await a.multi().set('t', 1).incrby('t', 9).exec(), [[null, 'OK'], [null, 10]])
const wrong = await a.pipeline().incr('h').get('p').exec()
check('an error in a pipeline', [wrong[0][0].message.startsWith('WRONGTYPE'), wrong[1][1]], [true, '2'])
check('sorted sets', [await a.zadd('z', 1, 'a', 2, 'b'), await a.zrange('z', 0, -1, 'WITHSCORES'), await a.zpopmax('z')], [2, ['a', '1', 'b', '2'], ['b', '2']])
check('bzpopmin', await a.bzpopmin('z', 1), [keyPrefix + 'z', 'a', '1'])
check('sets', [await a.sadd('set', 'x', 'y'), (await a.smembers('set')).sort(), await a.srem('set', 'x')], [2, ['x', 'y'], 1])
const seen = []
for await (const keys of a.scanStream({ match: keyPrefix + '*' })) seen.push(...keys)
check('scanStream', new Set(seen).size >= 6)
check('binary', (await a.set('bin', Buffer.from([0, 255, 13, 10])), [...(await a.getBuffer('bin'))]), [0, 255, 13, 10])
await eventually('hash', async () => ({ ...(await b.hgetall('h')) }), { a: '5', b: '2' })
await eventually('deleted', async () => (await a.del('h'), b.exists('h')), 0)
await Promise.all([a.quit(), b.quit()])
