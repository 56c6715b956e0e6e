// What the programs here share: where the regions are, waiting, and saying what was checked.
import assert from 'node:assert/strict'

const place = (text) => {
  const [host, port] = text.split(':')
  return { host, port: Number(port) }
}
export const A = place(process.env.REDIS_A ?? '127.0.0.1:6379')
export const B = place(process.env.REDIS_B ?? process.env.REDIS_A ?? '127.0.0.1:6379')
export const RUN = `${Date.now().toString(16)}${process.pid}`

export function check(what, found, expected = true) {
  assert.deepEqual(found, expected, what)
  console.log('ok', what)
}

/** The other region shows it before long. */
export async function eventually(what, look, expected = true) {
  const end = Date.now() + 20_000
  for (;;) {
    const found = await look()
    try {
      assert.deepEqual(found, expected)
      console.log('ok', what, '(other region)')
      return
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${error.message}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
