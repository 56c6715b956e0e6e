//! The stored form of a header.
//!
//! Three regions that make a cart at the same moment leave three creating marks and three expiries, until the next
//! write replaces the expiries. Even then the blob has to stay under 64 bytes. So the lists' lengths share a byte, a
//! mark's type stands in one number with its clock's counter, the absence of an instant in one with the dot, and each
//! instant is a difference from the one before it.
//!
//! ```text
//! lengths    rare << 6 | creates << 4 | expires << 2 | restates; or 128, then rare, creates, expires, restates
//! creates    dot, difference of ms, counter * 8 + type
//! expires    dot's word * 2 + is there an instant?, rest of the dot, difference of the instant
//! restates   the same
//! rare       revokes, wipes, ahead
//! ```

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::{ReplicaTable, StoredDot, StoredVector, VERSION, load_dots, load_hlc};
use crate::codec::{self, Compact, Error};
use crate::effect::Type;
use crate::row::{Created, Expiry, Header};

/// In place of the lengths, when one of them does not fit into two bits.
const LONG: u64 = 128;

struct StoredCreated(StoredDot, u64, u64, Type);

struct StoredExpiry(StoredDot, Option<u64>);

/// Rare things, together, so that they cost nothing when there are none: revokes, wipes, `ahead`.
#[derive(Encode, Decode)]
struct Rare(Vec<StoredDot>, Vec<StoredDot>, StoredVector);

struct StoredHeader {
    creates: Vec<StoredCreated>,
    expires: Vec<StoredExpiry>,
    restates: Vec<StoredExpiry>,
    rare: Option<Rare>,
}

impl Encode for StoredHeader {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let rare = u64::from(self.rare.is_some());
        let lengths = [self.creates.len(), self.expires.len(), self.restates.len()].map(|n| n as u64);
        if lengths.iter().all(|n| *n < 4) {
            let packed = lengths.iter().fold(rare, |word, n| word << 2 | n);
            Compact(packed).encode(encoder)?;
        } else {
            for n in [LONG, rare].into_iter().chain(lengths) {
                Compact(n).encode(encoder)?;
            }
        }
        let mut last = 0;
        for StoredCreated(dot, ms, counter, ty) in &self.creates {
            dot.encode(encoder)?;
            Compact::difference(last, *ms).encode(encoder)?;
            last = *ms;
            // A counter is 32 bits wide, so this cannot wrap.
            Compact(counter.wrapping_mul(8) | ty.index() as u64).encode(encoder)?;
        }
        for StoredExpiry(dot, at) in self.expires.iter().chain(&self.restates) {
            Compact((dot.word() * 2) | u64::from(at.is_some())).encode(encoder)?;
            dot.encode_rest(encoder)?;
            if let Some(at) = at {
                Compact::difference(last, *at).encode(encoder)?;
                last = *at;
            }
        }
        self.rare.as_ref().map_or(Ok(()), |rare| rare.encode(encoder))
    }
}

impl<C> Decode<C> for StoredHeader {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut number = || Ok::<u64, DecodeError>(Compact::decode(decoder)?.0);
        let packed = number()?;
        let [rare, creates, expires, restates] = match packed {
            0..LONG => [packed >> 6, packed >> 4 & 3, packed >> 2 & 3, packed & 3],
            LONG => [number()?, number()?, number()?, number()?],
            _ => return Err(DecodeError::Other("lengths are out of range")),
        };
        let mut header = StoredHeader {
            creates: Vec::new(),
            expires: Vec::new(),
            restates: Vec::new(),
            rare: None,
        };
        let mut last = 0;
        for _ in 0..creates {
            let dot = StoredDot::decode(decoder)?;
            last = Compact::decode(decoder)?.added_to(last);
            let word = Compact::decode(decoder)?.0;
            let ty = Type::ALL.into_iter().find(|ty| ty.index() as u64 == word % 8);
            let ty = ty.ok_or(DecodeError::Other("a type is out of range"))?;
            header.creates.push(StoredCreated(dot, last, word / 8, ty));
        }
        for (list, length) in [(&mut header.expires, expires), (&mut header.restates, restates)] {
            for _ in 0..length {
                let word = Compact::decode(decoder)?.0;
                let dot = StoredDot::decode_rest(word / 2, decoder)?;
                let mut at = None;
                if word % 2 == 1 {
                    last = Compact::decode(decoder)?.added_to(last);
                    at = Some(last);
                }
                list.push(StoredExpiry(dot, at));
            }
        }
        if rare != 0 {
            header.rare = Some(Rare::decode(decoder)?);
        }
        Ok(header)
    }
}

/// A header's blob.
///
/// # Errors
/// [`Error::Damaged`] when it is larger than a blob may be.
pub fn encode_header(header: &Header, table: &mut ReplicaTable) -> Result<Vec<u8>, Error> {
    let creates = header.creates.iter().map(|c| {
        let dot = StoredDot::new(&c.dot, table);
        StoredCreated(dot, c.hlc.ms, c.hlc.counter.into(), c.ty)
    });
    let creates = creates.collect();
    let mut expiries = |list: &[Expiry]| -> Vec<StoredExpiry> {
        let expiry = |e: &Expiry| StoredExpiry(StoredDot::new(&e.dot, table), e.at);
        list.iter().map(expiry).collect()
    };
    let (expires, restates) = (expiries(&header.expires), expiries(&header.restates));
    let plain = header.revokes.is_empty() && header.wipes.is_empty() && header.ahead.is_empty();
    let rare = (!plain).then(|| {
        let revokes = header.revokes.iter().map(|d| StoredDot::new(d, table)).collect();
        let wipes = header.wipes.iter().map(|d| StoredDot::new(d, table)).collect();
        Rare(revokes, wipes, StoredVector::new(&header.ahead, table))
    });
    let stored = StoredHeader {
        creates,
        expires,
        restates,
        rare,
    };
    codec::encode("a key's header", VERSION, &stored)
}

/// Reads a header from its blob.
///
/// # Errors
/// See [`Error`].
pub fn decode_header(bytes: &[u8], table: &ReplicaTable) -> Result<Header, Error> {
    let stored: StoredHeader = codec::decode("a key's header", VERSION, bytes)?;
    let expiry = |StoredExpiry(dot, at): &StoredExpiry| {
        Ok(Expiry {
            dot: dot.dot(table)?,
            at: *at,
        })
    };
    let created = |StoredCreated(dot, ms, counter, ty): &StoredCreated| {
        Ok(Created {
            dot: dot.dot(table)?,
            hlc: load_hlc(*ms, *counter)?,
            ty: *ty,
        })
    };
    let mut header = Header {
        creates: stored.creates.iter().map(created).collect::<Result<_, Error>>()?,
        expires: stored.expires.iter().map(expiry).collect::<Result<_, Error>>()?,
        restates: stored.restates.iter().map(expiry).collect::<Result<_, Error>>()?,
        ..Header::default()
    };
    if let Some(Rare(revokes, wipes, ahead)) = stored.rare {
        header.revokes = load_dots(&revokes, table)?;
        header.wipes = load_dots(&wipes, table)?;
        header.ahead = ahead.vector(table)?;
    }
    Ok(header)
}
