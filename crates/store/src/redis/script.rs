//! The scripts that run inside Redis: Lua 5.1, nothing newer than Redis 6.2, no shebang (6.2 has none).
//!
//! Facts that shape them (each seen on a real server):
//! - Redis checks memory, READONLY and MISCONF at a script's *first* write, and memory only if that command could
//!   take some. So a commit begins with a no-op that could (`SETRANGE key 0 ""`), and is refused before anything is
//!   written; a freeing commit begins with a no-op that could not (`DEL` of nothing), and is never refused for memory.
//! - A script that fails half way is not rolled back. So everything that can be checked is checked first, the writing
//!   part is run protected, and it says whether anything was written.
//! - Lua's numbers are doubles: fences, batches and sequences stay strings.
//! - `unpack` of more than some thousand values fails: long lists go by the thousand.

use std::sync::LazyLock;

/// A script and its name for `EVALSHA`.
pub(crate) struct Source {
    pub(crate) text: &'static str,
    pub(crate) sha: String,
}

impl Source {
    fn new(text: &'static str) -> Self {
        let sha = ::redis::Script::new(text).get_hash().to_owned();
        Source { text, sha }
    }
}

pub(crate) static COMMIT: LazyLock<Source> = LazyLock::new(|| Source::new(COMMIT_TEXT));

/// Arguments: metadata database, head key, head expected, new head, "1" if freeing, number of guards, guards of three
/// each (key, kind, value), then operations until the end (see `encode`).
///
/// Replies: `1` for committed; `{"F", head}` for fenced; `{"V", seconds, microseconds, guard, ...}` for guards that
/// did not hold, by number from 0; `{"E", 0 or 1, words}` for an error, with whether anything may have been written.
const COMMIT_TEXT: &str = r"
local call, try, A = redis.call, redis.pcall, ARGV
local META, HEAD = A[1], A[2]
call('SELECT', META)
local head = call('GET', HEAD)
if head ~= A[3] then return {'F', head or ''} end
local i, guards = 7, tonumber(A[6])
if guards > 0 then
  call('SELECT', '0')
  local bad
  for g = 0, guards - 1 do
    local key, kind, want, ok = A[i], A[i + 1], A[i + 2], false
    if kind == 'h' then ok = try('HLEN', key) == tonumber(want)
    elseif kind == 'a' then ok = call('EXISTS', key) == 0
    elseif kind == 's' then ok = try('SCARD', key) == tonumber(want)
    elseif kind == 'z' then ok = try('ZCARD', key) == tonumber(want)
    elseif kind == 'l' then ok = try('STRLEN', key) == tonumber(want)
    elseif kind == 't' then ok = call('TYPE', key).ok == want
    elseif kind == 'y' then
      ok = try('STRLEN', key) == 12304 and call('GETRANGE', key, '0', '4') == 'HYLL\0'
    end
    if not ok then
      bad = bad or {'V', '', ''}
      bad[#bad + 1] = g
    end
    i = i + 3
  end
  if bad then
    local now = call('TIME')
    bad[2], bad[3] = now[1], now[2]
    return bad
  end
  call('SELECT', META)
end

local wrote = false
-- A command on a key with many arguments, given as key, count, arguments.
local function many(command)
  local key, n = A[i + 1], tonumber(A[i + 2])
  local from = i + 3
  i = from + n
  while from < i do
    local to = from + 999
    if to >= i then to = i - 1 end
    call(command, key, unpack(A, from, to))
    wrote = true
    from = to + 1
  end
end

-- A record: log, id, record, first sequence, the one before it. One that is there already is what a half-run commit
-- left: everything from `first` on goes, and the record is appended.
local function append(key, id, record, first, before)
  local r = try('XADD', key, id, 'r', record)
  if type(r) ~= 'table' or not r.err then return end
  if not string.find(r.err, 'equal or smaller', 1, true) then error(r) end
  local stale = call('XRANGE', key, first, '+')
  for s = 1, #stale do call('XDEL', key, stale[s][1]) end
  if call('XLEN', key) == 0 then call('DEL', key) else call('XSETID', key, before) end
  call('XADD', key, id, 'r', record)
end

-- Registers of a HyperLogLog: key, count of numbers, then offset, bits kept, bits set for each group of four.
local function registers()
  local key, n = A[i + 1], tonumber(A[i + 2])
  local from = i + 3
  i = from + n
  if call('STRLEN', key) ~= 12304 or call('GETRANGE', key, '0', '4') ~= 'HYLL\0' then
    call('SET', key, 'HYLL' .. string.rep('\0', 11) .. '\128' .. string.rep('\0', 12288))
  end
  for g = from, i - 1, 3 do
    local at = tonumber(A[g])
    local a, b, c = string.byte(call('GETRANGE', key, at, at + 2), 1, 3)
    local w = bit.bor(bit.band(a + b * 256 + c * 65536, tonumber(A[g + 1])), tonumber(A[g + 2]))
    call('SETRANGE', key, at, string.char(w % 256, math.floor(w / 256) % 256, math.floor(w / 65536)))
  end
  call('SETRANGE', key, '15', '\128')
end

local function run()
  if A[5] == '1' then call('DEL', HEAD .. ':none') else call('SETRANGE', HEAD, '0', '') end
  while true do
    local op = A[i]
    if op == 'h' then call('HSET', A[i + 1], A[i + 2], A[i + 3]); i = i + 4
    elseif op == 'H' then many('HSET')
    elseif op == 'V' then call('SELECT', '0'); i = i + 1
    elseif op == 'W' then call('SELECT', META); i = i + 1
    elseif op == 'L' then append(A[i + 1], A[i + 2], A[i + 3], A[i + 4], A[i + 5]); i = i + 6
    elseif op == 'r' then call('HDEL', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'S' then call('SET', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'E' then call('PEXPIREAT', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'z' then call('ZADD', A[i + 1], A[i + 2], A[i + 3]); i = i + 4
    elseif op == 'a' then call('SADD', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'D' then call('UNLINK', A[i + 1]); i = i + 2
    elseif op == 'R' then many('HDEL')
    elseif op == 'A' then many('SADD')
    elseif op == 'm' then call('SREM', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'M' then many('SREM')
    elseif op == 'Z' then many('ZADD')
    elseif op == 'q' then call('ZREM', A[i + 1], A[i + 2]); i = i + 3
    elseif op == 'Q' then many('ZREM')
    elseif op == 'P' then call('PERSIST', A[i + 1]); i = i + 2
    elseif op == 'X' then call('SET', A[i + 1], A[i + 2], 'PX', A[i + 3]); i = i + 4
    elseif op == 'Y' then registers()
    elseif op == 'T' then
      call('XTRIM', A[i + 1], 'MINID', '~', A[i + 2], 'LIMIT', '1000'); i = i + 3
    elseif op == 'C' then
      local r = try('XADD', A[i + 1], 'MAXLEN', A[i + 2], A[i + 3], 'k', A[i + 4], 'v', A[i + 5])
      if type(r) == 'table' and r.err and not string.find(r.err, 'equal or smaller', 1, true) then error(r) end
      i = i + 6
    elseif op == nil then break
    else error('operation ' .. op .. ' is not known')
    end
    if op ~= 'V' and op ~= 'W' then wrote = true end
  end
  call('SET', HEAD, A[4])
end

local ok, fault = pcall(run)
if ok then return 1 end
if type(fault) == 'table' then fault = fault.err or '?' end
return {'E', wrote and 1 or 0, tostring(fault)}
";

pub(crate) static CLAIM: LazyLock<Source> = LazyLock::new(|| Source::new(CLAIM_TEXT));

/// Arguments: metadata database, head key, head fields' key. Raises the fence and reads the head.
///
/// Replies `{head, {field, value, ...}, {seconds, microseconds}}`, or `{head}` where that is no head.
const CLAIM_TEXT: &str = r"
redis.call('SELECT', ARGV[1])
local head = redis.call('GET', ARGV[2]) or '0 0 0'
local fence, rest = string.match(head, '^(%d+)( %d+ %d+)$')
if not fence then return {head} end
redis.call('DEL', ARGV[2] .. ':none')
head = string.format('%.0f', tonumber(fence) + 1) .. rest
redis.call('SET', ARGV[2], head)
return {head, redis.call('HGETALL', ARGV[3]), redis.call('TIME')}
";

/// Takes or keeps the lease: key, id, what to keep, how long in milliseconds. Replies who else has it, or nothing. A
/// freeing command comes first: a full Redis would refuse to let anybody own it.
pub(crate) const LEASE_TEXT: &str = r"
local held = redis.call('GET', ARGV[1])
if held and string.sub(held, 1, #ARGV[2] + 1) ~= ARGV[2] .. ' ' then return held end
redis.call('DEL', ARGV[1] .. ':none')
redis.call('SET', ARGV[1], ARGV[3], 'PX', ARGV[4])
return false
";

/// Gives the lease back: key, id.
pub(crate) const END_LEASE_TEXT: &str = r"
local held = redis.call('GET', ARGV[1])
if held and string.sub(held, 1, #ARGV[2] + 1) == ARGV[2] .. ' ' then redis.call('DEL', ARGV[1]) end
return 1
";

/// Reads one view whole: key. Replies `{type, value, expiry or -1}`. `PEXPIRETIME` is 7.0's; before, time plus what
/// is left of it.
pub(crate) const VIEW_TEXT: &str = r"
local key = ARGV[1]
local kind, value = redis.call('TYPE', key).ok, false
if kind == 'string' then value = redis.call('GET', key)
elseif kind == 'hash' then value = redis.call('HGETALL', key)
elseif kind == 'set' then value = redis.call('SMEMBERS', key)
elseif kind == 'zset' then value = redis.call('ZRANGE', key, '0', '-1', 'WITHSCORES')
end
local expiry = redis.pcall('PEXPIRETIME', key)
if type(expiry) ~= 'number' then
  expiry = redis.call('PTTL', key)
  if expiry >= 0 then
    local now = redis.call('TIME')
    expiry = expiry + now[1] * 1000 + math.floor(now[2] / 1000)
  end
end
return {kind, value, string.format('%.0f', expiry)}
";
