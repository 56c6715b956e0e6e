# redis-rb: the everyday calls, a pipeline, a transaction, a scan.
require 'redis'

A = (ENV['REDIS_A'] || '127.0.0.1:6379').split(':')
B = (ENV['REDIS_B'] || ENV['REDIS_A'] || '127.0.0.1:6379').split(':')

def check(what, found, expected = true)
  abort("FAILED #{what}: expected #{expected.inspect}, found #{found.inspect}") unless found == expected
  puts "ok #{what}"
end

def eventually(what, expected)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
  loop do
    found = yield
    return puts("ok #{what} (other region)") if found == expected
    abort("FAILED #{what}: expected #{expected.inspect}, found #{found.inspect}") if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    sleep 0.02
  end
end

a, b = [A, B].map { |host, port| Redis.new(host: host, port: port.to_i) }
p = "rb:#{Process.pid}:#{Time.now.to_i}:"
check('PING', a.ping, 'PONG')
check('SET, GET', [a.set("#{p}s", 'v', ex: 100), a.get("#{p}s")], %w[OK v])
check('SET NX', a.set("#{p}s", 'w', nx: true), false)
check('INCR, INCRBYFLOAT', [a.incr("#{p}n"), a.incrbyfloat("#{p}f", 1.5)], [1, 1.5])
check('hashes', [a.hset("#{p}h", { 'a' => '1', 'b' => '2' }), a.hincrby("#{p}h", 'a', 4), a.hgetall("#{p}h")], [2, 5, { 'a' => '5', 'b' => '2' }])
check('sets', [a.sadd("#{p}set", %w[x y]), a.smembers("#{p}set").sort, a.srem("#{p}set", %w[x])].map { |r| r == true ? 1 : r }, [2, %w[x y], 1])
check('sorted sets', [a.zadd("#{p}z", [[1, 'a'], [2, 'b']]), a.zrange("#{p}z", 0, -1, with_scores: true), a.zpopmin("#{p}z")], [2, [['a', 1.0], ['b', 2.0]], ['a', 1.0]])
check('pipelined', a.pipelined { |q| q.set("#{p}p", 1); q.incr("#{p}p"); q.get("#{p}p") }, ['OK', 2, '2'])
check('multi', a.multi { |q| q.set("#{p}t", 1); q.incrby("#{p}t", 4) }, ['OK', 5])
check('scan_each', a.scan_each(match: "#{p}*").to_a.uniq.size, 8)
wrong = begin
  a.incr("#{p}h")
rescue Redis::CommandError => e
  e.message
end
check('WRONGTYPE', wrong.start_with?('WRONGTYPE'))
check('expire, ttl, rename', [a.expire("#{p}h", 100), a.ttl("#{p}h") > 90, a.rename("#{p}h", "#{p}h2")], [true, true, 'OK'])
eventually('hash', { 'a' => '5', 'b' => '2' }) { b.hgetall("#{p}h2") }
eventually('deleted', false) { a.del("#{p}h2"); b.exists?("#{p}h2") }
