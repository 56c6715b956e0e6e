//! Tests of the request parser.

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits {
    inline_bytes_max: 32,
    args_max: 4,
    bulk_bytes_max: 100,
    before_auth: false,
};

/// What comes out when `bytes` come in pieces of these lengths, in turn: commands, and what was wrong after them.
fn requests(bytes: &[u8], pieces: &[usize], limits: &Limits) -> (Vec<Request>, Option<ProtocolError>) {
    let (mut parser, mut buf, mut found) = (Parser::new(), BytesMut::new(), Vec::new());
    let mut rest = bytes;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        buf.extend_from_slice(now);
        rest = later;
        loop {
            match parser.next(&mut buf, limits) {
                Ok(Some(request)) => found.push(request),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (found, None)
}

fn words(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (found, error) = requests(bytes, &[usize::MAX], &Limits::DEFAULT);
    assert_eq!(error, None);
    found
        .into_iter()
        .map(|r| r.args.iter().map(|a| a.to_vec()).collect())
        .collect()
}

fn error(bytes: &[u8], limits: &Limits) -> Option<ProtocolError> {
    let (found, error) = requests(bytes, &[usize::MAX], limits);
    assert_eq!(found, []);
    let by_bytes = requests(bytes, &[1], limits);
    assert_eq!(by_bytes, (found, error), "in pieces: {}", bytes.escape_ascii());
    error
}

#[test]
fn commands_come_out_with_their_own_bytes() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n*1\r\n$0\r\n\r\n";
    let (found, error) = requests(bytes, &[usize::MAX], &Limits::DEFAULT);
    assert_eq!(error, None);
    let args: Vec<Vec<Bytes>> = found.iter().map(|r| r.args.clone()).collect();
    assert_eq!(args, [vec!["GET", "k"], vec!["PING"], vec![""]]);
    assert_eq!(found[0].raw, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    assert_eq!(found[1].raw, "*1\r\n$4\r\nPING\r\n");
}

#[test]
fn inline_commands_are_written_anew() {
    let (found, _) = requests(b"SET \"a b\" 'c'\r\nPING\n", &[usize::MAX], &Limits::DEFAULT);
    assert_eq!(found[0].raw, "*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$1\r\nc\r\n");
    assert_eq!(found[1].args, ["PING"]);
    assert_eq!(found.len(), 2);
}

#[test]
fn empty_commands_are_skipped() {
    assert_eq!(
        words(b"\r\n\n  \r\n*0\r\n*-1\r\n*-5\r\nPING\r\n*1\r\n$4\r\nECHO\r\n"),
        [[b"PING"], [b"ECHO"]]
    );
}

#[test]
fn a_prefix_in_argument_position_is_an_inline_command() {
    assert_eq!(words(b"$3\r\n"), [[b"$3"]]);
}

#[test]
fn wrong_framing_is_named_as_redis_names_it() {
    use ProtocolError::{
        ExpectedBulk, InvalidBulkLength, InvalidMultibulkLength, MissingCrlf, UnbalancedQuotes,
    };
    for (bytes, wanted) in [
        (&b"*x\r\n"[..], InvalidMultibulkLength),
        (b"*\r\n", InvalidMultibulkLength),
        (b"*1a\r\n", InvalidMultibulkLength),
        (b"*01\r\n", InvalidMultibulkLength),
        (b"*3000000000\r\n", InvalidMultibulkLength),
        (b"*99999999999999999999999\r\n", InvalidMultibulkLength),
        (b"*1\r\n:1\r\n", ExpectedBulk { got: b':' }),
        (b"*1\r\n$-1\r\n", InvalidBulkLength),
        (b"*1\r\n$x\r\n", InvalidBulkLength),
        (b"*1\r\n$\r\n", InvalidBulkLength),
        (b"*1\r\n$9223372036854775807\r\n", InvalidBulkLength),
        (b"*1\r\n$600000000\r\n", InvalidBulkLength),
        (b"*1\r\n$1\r\nabc", MissingCrlf),
        (b"*1\r\n$1\r\na\r\r", MissingCrlf),
        (b"*1\rx", MissingCrlf),
        (b"*1\r\n$1\r$", MissingCrlf),
        (b"SET \"a\r\n", UnbalancedQuotes),
    ] {
        assert_eq!(
            error(bytes, &Limits::DEFAULT),
            Some(wanted),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn what_a_browser_sends_is_refused() {
    for bytes in [
        &b"POST / HTTP/1.1\r\n"[..],
        b"post x\n",
        b"Host: localhost\r\n",
        b"*1\r\n$4\r\nPost\r\n",
        b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
    ] {
        assert_eq!(error(bytes, &Limits::DEFAULT), Some(ProtocolError::CrossProtocol));
    }
}

#[test]
fn limits_hold_at_the_limit_and_not_one_past_it() {
    let args = |n: usize| [format!("*{n}\r\n").into_bytes(), b"$1\r\na\r\n".repeat(n)].concat();
    assert_eq!(requests(&args(4), &[usize::MAX], &SMALL).0.len(), 1);
    assert_eq!(
        error(&args(5), &SMALL),
        Some(ProtocolError::InvalidMultibulkLength)
    );
    let bulk = |n: usize| format!("*1\r\n${n}\r\n{}\r\n", "x".repeat(n)).into_bytes();
    assert_eq!(requests(&bulk(100), &[usize::MAX], &SMALL).0.len(), 1);
    assert_eq!(error(&bulk(101), &SMALL), Some(ProtocolError::InvalidBulkLength));
    let line = |n: usize| [&vec![b'x'; n], &b"\n"[..]].concat();
    assert_eq!(requests(&line(32), &[usize::MAX], &SMALL).0.len(), 1);
    assert_eq!(error(&line(33), &SMALL), Some(ProtocolError::TooBigInline));
    assert_eq!(error(&[b'x'; 33], &SMALL), Some(ProtocolError::TooBigInline));
    assert_eq!(
        error(&[&b"*"[..], &[b'1'; 32]].concat(), &SMALL),
        Some(ProtocolError::TooBigMultibulkCount)
    );
    assert_eq!(
        error(&[&b"*1\r\n$"[..], &[b'1'; 32]].concat(), &SMALL),
        Some(ProtocolError::TooBigBulkCount)
    );
}

#[test]
fn before_login_the_limits_are_tight_and_say_so() {
    use ProtocolError::{
        InvalidBulkLength, InvalidMultibulkLength, UnauthenticatedBulkLength, UnauthenticatedMultibulkLength,
    };
    let tight = &Limits::BEFORE_AUTH;
    assert_eq!(error(b"*11\r\n", tight), Some(UnauthenticatedMultibulkLength));
    assert_eq!(error(b"*2000000\r\n", tight), Some(InvalidMultibulkLength));
    assert_eq!(error(b"*1\r\n$16385\r\n", tight), Some(UnauthenticatedBulkLength));
    assert_eq!(error(b"*1\r\n$600000000\r\n", tight), Some(InvalidBulkLength));
    assert_eq!(error(b"*10\r\n$16384\r\n", tight), None);
}

#[test]
fn declared_lengths_reserve_nothing() {
    let mut buf = BytesMut::from(&b"*1048576\r\n$536870912\r\nabc"[..]);
    let mut parser = Parser::new();
    assert_eq!(parser.next(&mut buf, &Limits::DEFAULT), Ok(None));
    assert!(parser.args.capacity() <= ARGS_RESERVED_MAX && buf.capacity() < 1_000);
    assert_eq!(parser.bytes_missing(&buf), 536_870_912 + 2 - 3);
}

#[test]
fn a_command_that_comes_byte_by_byte_is_read_once() {
    let mut parser = Parser::new();
    let mut buf = BytesMut::from(&b"*2\r\n$1\r\na\r\n$1000\r\n"[..]);
    assert_eq!(parser.next(&mut buf, &Limits::DEFAULT), Ok(None));
    for _ in 0..1_000 {
        assert_eq!((parser.at, parser.scanned), (18, 18));
        buf.extend_from_slice(b"x");
        assert_eq!(parser.next(&mut buf, &Limits::DEFAULT), Ok(None));
    }
    let (mut parser, mut buf) = (Parser::new(), BytesMut::new());
    for n in 0..1_000 {
        assert_eq!(parser.scanned, n);
        buf.extend_from_slice(b"x");
        assert_eq!(parser.next(&mut buf, &Limits::DEFAULT), Ok(None));
    }
}

#[test]
fn a_huge_command_leaves_no_room_behind() {
    let mut parser = Parser::new();
    let mut buf = BytesMut::from(&[b"*10000\r\n".to_vec(), b"$1\r\na\r\n".repeat(10_000)].concat()[..]);
    assert_eq!(
        parser
            .next(&mut buf, &Limits::DEFAULT)
            .unwrap()
            .unwrap()
            .args
            .len(),
        10_000
    );
    assert!(parser.args.capacity() <= ARGS_RESERVED_MAX);
}

fn any_command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(b"\r\n*1\r\n$4\r\nPING\r\n".to_vec()),
    ];
    prop::collection::vec(word, 1..5)
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::sample::select(&b"*$0123-\r\n\r\n\r\n \"'\\xPOST"[..]);
    let piece = prop_oneof![
        3 => any_command().prop_map(|command| {
            let mut out = BytesMut::new();
            encode_command(&command, &mut out);
            out.to_vec()
        }),
        1 => prop::collection::vec(noise, 0..30),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn commands_come_back(commands in prop::collection::vec(any_command(), 0..6), pieces in prop::collection::vec(1_usize..40, 1..10)) {
        let mut bytes = BytesMut::new();
        for command in &commands {
            encode_command(command, &mut bytes);
        }
        let (found, error) = requests(&bytes, &pieces, &Limits::DEFAULT);
        prop_assume!(error != Some(ProtocolError::CrossProtocol));
        prop_assert_eq!(error, None);
        let raw: Vec<u8> = found.iter().flat_map(|r| r.raw.to_vec()).collect();
        prop_assert_eq!(&raw[..], &bytes[..]);
        let args: Vec<Vec<Vec<u8>>> = found.iter().map(|r| r.args.iter().map(|a| a.to_vec()).collect()).collect();
        prop_assert_eq!(args, commands);
    }

    #[test]
    fn pieces_give_what_the_whole_gives(bytes in any_bytes(), pieces in prop::collection::vec(1_usize..40, 1..10), tight: bool) {
        let limits = if tight { SMALL } else { Limits::DEFAULT };
        prop_assert_eq!(requests(&bytes, &pieces, &limits), requests(&bytes, &[usize::MAX], &limits));
    }

    #[test]
    fn what_is_passed_on_means_the_same_command(bytes in any_bytes()) {
        let (found, _) = requests(&bytes, &[usize::MAX], &Limits::DEFAULT);
        for request in found {
            let again = requests(&request.raw, &[usize::MAX], &Limits::DEFAULT);
            prop_assert_eq!(again, (vec![request], None));
        }
    }
}
