// Express with express-session on connect-redis: a session over several requests, touched, read in the other region, ended.
import express from 'express'
import session from 'express-session'
import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import { A, B, RUN, check, eventually } from './common.mjs'

async function shop(at) {
  const client = await createClient({ socket: at }).on('error', (e) => { throw e }).connect()
  const store = new RedisStore({ client, prefix: `sess:${RUN}:`, ttl: 600 })
  const app = express()
  app.use(session({ store, secret: 'for tests', resave: false, saveUninitialized: false }))
  app.get('/add/:sku', (req, res) => {
    req.session.cart = [...(req.session.cart ?? []), req.params.sku]
    res.send(req.session.cart.join())
  })
  app.get('/cart', (req, res) => res.send((req.session.cart ?? []).join()))
  app.get('/logout', (req, res) => req.session.destroy(() => res.send('')))
  const server = await new Promise((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening))
  })
  let cookie
  return {
    client,
    store,
    server,
    set cookie(value) { cookie = value },
    get cookie() { return cookie },
    async get(path) {
      const reply = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: cookie ? { cookie } : {} })
      cookie = reply.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      return reply.text()
    },
  }
}

const [here, there] = [await shop(A), await shop(B)]
check('first request', await here.get('/add/mug'), 'mug')
check('second request', await here.get('/add/hat'), 'mug,hat')
there.cookie = here.cookie
await eventually('session', () => there.get('/cart'), 'mug,hat')
check('a touch leaves it as it is', await here.get('/cart'), 'mug,hat')
check('all sessions', await new Promise((resolve, reject) => here.store.all((e, all) => (e ? reject(e) : resolve(all?.length)))).catch(() => here.store.all().then((all) => all.length)), 1)
check('logout', await here.get('/logout'), '')
await eventually('logged out', () => there.get('/cart'), '')
for (const s of [here, there]) {
  await s.client.close()
  s.server.close()
}
