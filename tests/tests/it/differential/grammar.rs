//! Random commands: what clients send, and what they should not.

use cartograph_engine::testkit::Dice;

use super::tokens::TOKENS;

/// A command's words.
pub(super) type Words = Vec<Vec<u8>>;

/// Families of commands; a sequence is of some of them. Each word in capitals that [`Grammar::word`] knows stands for
/// random ones.
const FAMILIES: &[&[&str]] = &[
    &[
        "DEL KS",
        "UNLINK KS",
        "EXISTS KS",
        "TOUCH KS",
        "TYPE K",
        "TTL K",
        "PTTL K",
        "EXPIRETIME K",
        "PEXPIRETIME K",
        "EXPIRE K TTL",
        "EXPIRE K TTL XPF",
        "EXPIRE K TTL XPF XPF",
        "PEXPIRE K TTLMS",
        "PEXPIRE K TTLMS XPF",
        "EXPIREAT K AT",
        "EXPIREAT K AT XPF",
        "PEXPIREAT K ATMS",
        "PEXPIREAT K ATMS XPF",
        "PERSIST K",
        "RENAME K K",
        "RENAMENX K K",
        "COPY K K",
        "COPY K K REPLACE",
        "COPY K K DB 0",
        "COPY K K DB N",
        "DEL K",
    ],
    &[
        "GET K",
        "MGET KS",
        "STRLEN K",
        "GETRANGE K R R",
        "SUBSTR K R R",
        "SET K V",
        "SET K V",
        "SET K V SETOPT",
        "SET K V SETOPT SETOPT",
        "SET K V SETOPT SETOPT SETOPT",
        "SETNX K V",
        "SETEX K TTL V",
        "PSETEX K TTLMS V",
        "GETSET K V",
        "GETDEL K",
        "GETEX K",
        "GETEX K GETEXOPT",
        "GETEX K GETEXOPT GETEXOPT",
        "MSET KVS",
        "MSETNX KVS",
        "APPEND K V",
        "SETRANGE K O V",
        "LCS K K",
        "LCS K K LCSOPT",
        "LCS K K LCSOPT LCSOPT",
        "LCS K K IDX LCSOPT LCSOPT",
    ],
    &[
        "SET K NV",
        "SET K NV",
        "GET K",
        "INCR K",
        "DECR K",
        "INCRBY K N",
        "DECRBY K N",
        "INCRBYFLOAT K X",
        "INCRBYFLOAT K X",
        "HSET H F NV",
        "HINCRBY H F N",
        "HINCRBYFLOAT H F X",
        "HINCRBYFLOAT H F X",
        "HGET H F",
        "INCRBYFLOAT K 1e30",
        "INCRBYFLOAT K -1e30",
    ],
    &[
        "SETBIT K O BIT",
        "GETBIT K O",
        "BITCOUNT K",
        "BITCOUNT K R R",
        "BITCOUNT K R R UNIT",
        "BITPOS K BIT",
        "BITPOS K BIT R",
        "BITPOS K BIT R R",
        "BITPOS K BIT R R UNIT",
        "BITFIELD K BF",
        "BITFIELD K BF BF",
        "BITFIELD K BF OVERFLOW OVER BF BF",
        "BITFIELD_RO K GET TYPE O",
        "BITFIELD_RO K BF",
        "BITOP BITS K KS",
        "BITOP NOT K K",
        "SET K V",
        "GET K",
    ],
    &[
        "HSET H FVS",
        "HSET H FVS",
        "HMSET H FVS",
        "HSETNX H F V",
        "HDEL H FS",
        "HGET H F",
        "HMGET H FS",
        "HGETALL H",
        "HKEYS H",
        "HVALS H",
        "HLEN H",
        "HEXISTS H F",
        "HSTRLEN H F",
        "HRANDFIELD H",
        "HRANDFIELD H C",
        "HRANDFIELD H C WITHVALUES",
        "HINCRBY H F N",
        "HINCRBYFLOAT H F X",
        "HSCAN H 0",
        "HSCAN H 0 MATCH a* COUNT 100",
        "HSCAN H 0 COUNT PAGE",
        "DEL H",
    ],
    &[
        "SADD S FS",
        "SADD S FS",
        "SREM S FS",
        "SMEMBERS S",
        "SISMEMBER S F",
        "SMISMEMBER S FS",
        "SCARD S",
        "SPOP S",
        "SPOP S C",
        "SRANDMEMBER S",
        "SRANDMEMBER S C",
        "SMOVE S S F",
        "SINTER SS",
        "SUNION SS",
        "SDIFF SS",
        "SINTERCARD NSS",
        "SINTERCARD NSS LIMIT C",
        "SINTERSTORE S SS",
        "SUNIONSTORE S SS",
        "SDIFFSTORE S SS",
        "SSCAN S 0",
        "DEL S",
    ],
    &[
        "ZADD Z SMS",
        "ZADD Z SMS",
        "ZADD Z ZOPT SMS",
        "ZADD Z ZOPT ZOPT SMS",
        "ZADD Z ZOPT INCR SC M",
        "ZADD Z ZOPT ZOPT INCR SC M",
        "ZADD Z INCR SC M",
        "ZINCRBY Z SC M",
        "ZREM Z MS",
        "ZSCORE Z M",
        "ZMSCORE Z MS",
        "ZCARD Z",
        "ZRANK Z M",
        "ZREVRANK Z M",
        "ZCOUNT Z Y Y",
        "ZLEXCOUNT Z L L",
        "ZPOPMIN Z",
        "ZPOPMAX Z",
        "ZPOPMIN Z C",
        "ZPOPMAX Z C",
        "ZMPOP NZS END",
        "ZMPOP NZS END COUNT C",
        "BZPOPMIN Z WAIT",
        "BZPOPMAX Z Z WAIT",
        "BZMPOP WAIT NZS END",
        "ZRANDMEMBER Z",
        "ZRANDMEMBER Z C",
        "ZRANDMEMBER Z C WITHSCORES",
        "ZSCAN Z 0",
        "DEL Z",
    ],
    &[
        "ZADD Z SMS",
        "ZADD Z SMS",
        "ZADD Z 0 M 0 M 0 M",
        "ZRANGE Z R R",
        "ZRANGE Z R R REV",
        "ZRANGE Z R R WITHSCORES",
        "ZRANGE Z Y Y BYSCORE",
        "ZRANGE Z Y Y BYSCORE ZROPT",
        "ZRANGE Z Y Y BYSCORE ZROPT ZROPT",
        "ZRANGE Z L L BYLEX ZROPT",
        "ZRANGE Z R R ZROPT ZROPT",
        "ZREVRANGE Z R R",
        "ZREVRANGE Z R R WITHSCORES",
        "ZRANGEBYSCORE Z Y Y",
        "ZRANGEBYSCORE Z Y Y ZROPT",
        "ZREVRANGEBYSCORE Z Y Y ZROPT ZROPT",
        "ZRANGEBYLEX Z L L",
        "ZRANGEBYLEX Z L L ZROPT",
        "ZREVRANGEBYLEX Z L L ZROPT",
        "ZRANGESTORE Z Z R R",
        "ZRANGESTORE Z Z R R ZROPT",
        "ZRANGESTORE Z Z Y Y BYSCORE ZROPT",
        "ZRANGESTORE Z Z L L BYLEX ZROPT ZROPT",
        "ZREMRANGEBYRANK Z R R",
        "ZREMRANGEBYSCORE Z Y Y",
        "ZREMRANGEBYLEX Z L L",
        "ZCOUNT Z Y Y",
        "ZLEXCOUNT Z L L",
    ],
    &[
        "ZADD Z SMS",
        "ZADD Z SMS",
        "ZADD Z SMS",
        "SADD S FS",
        "ZUNIONSTORE Z NZS",
        "ZUNIONSTORE Z NZS UOPT",
        "ZUNIONSTORE Z NZS UOPT UOPT",
        "ZINTERSTORE Z NZS",
        "ZINTERSTORE Z NZS UOPT",
        "ZINTERSTORE Z NZS UOPT UOPT",
        "ZDIFFSTORE Z NZS",
        "ZDIFFSTORE Z NZS UOPT",
        "ZUNION NZS",
        "ZUNION NZS WITHSCORES",
        "ZUNION NZS UOPT WITHSCORES",
        "ZINTER NZS",
        "ZINTER NZS WITHSCORES UOPT",
        "ZDIFF NZS",
        "ZDIFF NZS WITHSCORES",
        "ZINTERCARD NZS",
        "ZINTERCARD NZS LIMIT C",
        "ZUNIONSTORE Z 2 S Z WEIGHTS SC SC",
        "ZINTERSTORE Z 2 Z S WEIGHTS SC SC UOPT",
    ],
    &[
        "GEOADD G LL M",
        "GEOADD G LL M LL M",
        "GEOADD G ZOPT LL M",
        "GEOADD G LL M",
        "GEOPOS G MS",
        "GEODIST G M M",
        "GEODIST G M M DU",
        "GEOHASH G MS",
        "GEOSEARCH G FROMMEMBER M BYRADIUS RAD GOPT",
        "GEOSEARCH G FROMLONLAT LL BYRADIUS RAD",
        "GEOSEARCH G FROMLONLAT LL BYRADIUS RAD GOPT GOPT",
        "GEOSEARCH G FROMLONLAT LL BYBOX BOX GOPT",
        "GEOSEARCHSTORE G G FROMLONLAT LL BYRADIUS RAD",
        "GEOSEARCHSTORE G G FROMLONLAT LL BYBOX BOX STOREDIST",
        "GEOSEARCHSTORE G G FROMMEMBER M BYRADIUS RAD ASC",
        "GEORADIUS G LL RAD",
        "GEORADIUS G LL RAD GOPT",
        "GEORADIUS G LL RAD STORE G",
        "GEORADIUS G LL RAD STOREDIST G",
        "GEORADIUSBYMEMBER G M RAD GOPT",
        "GEORADIUS_RO G LL RAD GOPT",
        "GEORADIUSBYMEMBER_RO G M RAD GOPT",
        "ZRANGE G 0 -1 WITHSCORES",
        "ZREM G MS",
    ],
    &[
        "PFADD P ES",
        "PFADD P ES",
        "PFCOUNT P",
        "PFCOUNT P P",
        "PFMERGE P P",
        "PFMERGE P P P",
        "DEL P",
        "EXISTS P",
        "TYPE P",
        "RENAME P P",
        "COPY P P REPLACE",
        "EXPIRE P TTL",
        "TTL P",
    ],
];

/// What commands do not expect.
const HOSTILE: &[&[u8]] = &[
    b"",
    b"abc",
    b"-1",
    b"0",
    b"1.5",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1e400",
    b"nan",
    b"inf",
    b"-inf",
    b"NX",
    b"XX",
    b"GET",
    b"LIMIT",
    b"\0",
    b"a\0b",
    b"+1",
    b" 1",
    b"1 ",
    b"0x10",
    b"(5",
    b"[a",
    b"-0",
    b"1e-400",
    b"\xff\xfe",
    b"WITHSCORES",
    b"COUNT",
    b"nxx",
];

/// The keys that anything may use; `key` of each family besides.
const SHARED: [&str; 3] = ["k1", "k2", "k3"];

/// Every key that a sequence can have made.
const KEYS: [&str; 13] = [
    "k1", "k2", "k3", "h1", "h2", "s1", "s2", "z1", "z2", "g1", "g2", "p1", "p2",
];

/// What every key holds.
pub(super) fn readings() -> impl Iterator<Item = Words> {
    let forms = [
        "TYPE {}",
        "PTTL {}",
        "GET {}",
        "HGETALL {}",
        "SMEMBERS {}",
        "ZRANGE {} 0 -1 WITHSCORES",
    ];
    let words = |form: &str, key: &str| {
        form.split(' ')
            .map(|w| w.replace("{}", key).into_bytes())
            .collect()
    };
    KEYS.iter().flat_map(move |key| {
        let sketch = key.starts_with('p');
        let forms = forms
            .iter()
            .filter(move |form| !sketch || !form.starts_with("GET"));
        let forms: Vec<Words> = forms.map(|form| words(form, key)).collect();
        let count = sketch.then(|| words("PFCOUNT {}", key));
        forms.into_iter().chain(count)
    })
}

/// A command as one would type it.
pub(super) fn shown(words: &Words) -> String {
    let word = |word: &Vec<u8>| {
        let text = word.escape_ascii().to_string();
        if text.is_empty() || text.contains(' ') {
            format!("\"{text}\"")
        } else {
            text
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Makes commands.
pub(super) struct Grammar {
    dice: Dice,
    families: Vec<usize>,
    hostile: bool,
    time: usize,
}

impl Grammar {
    pub(super) fn new(mut dice: Dice) -> Self {
        let mut families: Vec<usize> = (0..=dice.below(3)).map(|_| dice.below(FAMILIES.len())).collect();
        if dice.once_in(4) {
            families = (0..FAMILIES.len()).collect();
        }
        families.push(0);
        let hostile = dice.once_in(2);
        Grammar {
            dice,
            families,
            hostile,
            time: 0,
        }
    }

    /// One command, or a few that are done together.
    pub(super) fn entry(&mut self) -> Vec<Words> {
        let count = if self.dice.once_in(5) {
            2 + self.dice.below(3)
        } else {
            1
        };
        (0..count).map(|_| self.command()).collect()
    }

    fn command(&mut self) -> Words {
        let mut family = *self.dice.pick(&self.families);
        if family == 0 && !self.dice.once_in(4) {
            family = *self.dice.pick(&self.families);
        }
        let shape = *self.dice.pick(FAMILIES[family]);
        let mut words: Words = Vec::new();
        let mut shape = shape.split(' ');
        words.extend(shape.next().map(|name| name.as_bytes().to_vec()));
        for word in shape {
            self.word(word, &mut words);
        }
        if self.hostile && self.dice.once_in(8) && !words[0].starts_with(b"B") {
            self.spoil(&mut words);
        }
        words
    }

    fn spoil(&mut self, words: &mut Words) {
        let at = 1 + self.dice.below(words.len().max(2) - 1);
        match self.dice.below(6) {
            0 if words.len() > 2 => {
                words.remove(at);
            }
            1 => words.insert(at, self.dice.pick(HOSTILE).to_vec()),
            2 => {
                let again = words.get(at).cloned();
                words.extend(again);
            }
            _ => {
                let hostile = self.dice.pick(HOSTILE).to_vec();
                if let Some(word) = words.get_mut(at) {
                    *word = hostile;
                }
            }
        }
    }

    fn one(&mut self, all: &[&str], words: &mut Words) {
        let text = *self.dice.pick(all);
        words.extend(text.split(' ').map(|w| w.as_bytes().to_vec()));
    }

    fn several(&mut self, word: &str, words: &mut Words) {
        for _ in 0..=self.dice.below(3) {
            for part in word.split(' ') {
                self.word(part, words);
            }
        }
    }

    fn numbered(&mut self, word: &str, words: &mut Words) {
        let at = words.len();
        self.several(word, words);
        let count = words.len() - at;
        let count = if self.hostile && self.dice.once_in(12) {
            self.dice.below(4)
        } else {
            count
        };
        words.insert(at, count.to_string().into_bytes());
    }

    fn key(&mut self, own: [&str; 2], words: &mut Words) {
        if self.dice.once_in(8) {
            self.one(&SHARED, words);
        } else {
            self.one(&own, words);
        }
    }

    /// An expiry that no other of the sequence comes near, so that a clock that goes on changes no comparison.
    fn time(&mut self, unit: u64, from: u64, words: &mut Words) {
        if self.dice.once_in(8) {
            return self.one(
                &[
                    "0",
                    "-1",
                    "abc",
                    "9223372036854775807",
                    "9223372036854775",
                    "-9223372036854775808",
                    "",
                ],
                words,
            );
        }
        self.time += 1;
        let spread = (self.time as u64 * 7_919) % 1_000;
        words.push(((from + spread * 10_000) * unit).to_string().into_bytes());
    }

    fn keys(&mut self, word: &str, words: &mut Words) -> bool {
        match word {
            "K" => self.key(["k1", "k2"], words),
            "H" => self.key(["h1", "h2"], words),
            "S" => self.key(["s1", "s2"], words),
            "Z" => self.key(["z1", "z2"], words),
            "G" => self.key(["g1", "g2"], words),
            "P" => self.key(["p1", "p2"], words),
            "KS" => self.several("K", words),
            "SS" => self.several("S", words),
            "NSS" => self.numbered("S", words),
            "NZS" => self.numbered("Z", words),
            "KVS" => self.several("K V", words),
            "FS" => self.several("F", words),
            "MS" => self.several("M", words),
            "ES" => self.several("E", words),
            "FVS" => self.several("F V", words),
            "SMS" => self.several("SC M", words),
            "TTL" => self.time(1, 1_000_000, words),
            "TTLMS" => self.time(1_000, 1_000_000, words),
            "AT" => self.time(1, 10_000_000_000, words),
            "ATMS" => self.time(1_000, 10_000_000_000, words),
            _ => return false,
        }
        true
    }

    fn word(&mut self, word: &str, words: &mut Words) {
        if self.keys(word, words) || self.option(word, words) {
            return;
        }
        match TOKENS.iter().find(|(name, _)| *name == word) {
            Some((_, all)) => self.one(all, words),
            None => words.push(word.as_bytes().to_vec()),
        }
    }

    /// What is made of several choices.
    fn option(&mut self, word: &str, words: &mut Words) -> bool {
        match word {
            "E" => words.push(format!("element:{}", self.dice.below(500)).into_bytes()),
            "SETOPT" | "GETEXOPT" => match self.dice.below(4) {
                0 => {
                    self.one(&["EX", "ex"], words);
                    self.word("TTL", words);
                }
                1 => {
                    self.one(&["PX", "PXAT"], words);
                    let time = *self.dice.pick(&["TTLMS", "ATMS"]);
                    self.word(time, words);
                }
                2 if word == "SETOPT" => self.one(&["NX", "XX", "GET", "KEEPTTL"], words),
                _ => self.word("FLAG", words),
            },
            "BF" => {
                self.one(&["GET", "SET", "INCRBY", "SET", "INCRBY"], words);
                let gets = words.last().is_some_and(|w| w == b"GET");
                self.word("TYPE", words);
                self.word("BITAT", words);
                if !gets {
                    self.word("BITVALUE", words);
                }
            }
            _ => return false,
        }
        true
    }
}
