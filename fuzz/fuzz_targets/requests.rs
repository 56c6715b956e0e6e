//! A client's bytes, cut where the first of them says: the parser gives what it gives for the whole, and what it would
//! pass on means the same command.
#![no_main]

use bytes::BytesMut;
use cartograph_resp::{Limits, Parser, ProtocolError, Request};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], piece: usize) -> (Vec<Request>, Option<ProtocolError>) {
    let (mut parser, mut buf, mut found) = (Parser::new(), BytesMut::new(), Vec::new());
    for now in bytes.chunks(piece) {
        buf.extend_from_slice(now);
        loop {
            match parser.next(&mut buf, &Limits::DEFAULT) {
                Ok(Some(request)) => found.push(request),
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
    for request in whole.0 {
        assert_eq!(read(&request.raw, request.raw.len()), (vec![request.clone()], None));
    }
});
