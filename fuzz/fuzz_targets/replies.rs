//! A server's bytes, cut where the first of them says: the delimiter gives the same frames, and each can be read or is
//! an error.
#![no_main]

use bytes::{Bytes, BytesMut};
use cartograph_resp::{Delimiter, ProtocolError, Value};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], piece: usize) -> (Vec<Bytes>, Option<ProtocolError>) {
    let (mut delimiter, mut buf, mut found) = (Delimiter::bounded(1 << 20), BytesMut::new(), Vec::new());
    for now in bytes.chunks(piece) {
        buf.extend_from_slice(now);
        loop {
            match delimiter.next(&mut buf) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(*first).max(1)));
    for frame in whole.0 {
        let _ = Value::from_frame(&frame);
    }
});
