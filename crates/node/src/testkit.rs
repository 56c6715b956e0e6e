//! For tests: commands of Redis in their own words, done by whoever runs typed ones.

use bytes::Bytes;
use cartograph_engine::{Command, CommandError, Reply};
use cartograph_resp::{Protocol, Value};

use crate::resp::commands::{Parsed, parse_read, parse_write, shape};

/// Redis's reply to `name` with these arguments, as the RESP door gives it for a replicated key. What waits for data
/// does not wait: it finds nothing at once.
pub fn reply(
    name: &str,
    args: &[Bytes],
    protocol: Protocol,
    run: &mut dyn FnMut(Command) -> Result<Reply, CommandError>,
) -> Value {
    let parsed = parse_read(name, args).unwrap_or_else(|| parse_write(name, args));
    let (Parsed::Do { command, shape: form }
    | Parsed::Block {
        command, shape: form, ..
    }) = (match parsed {
        Ok(Parsed::Reply(value)) | Err(value) => return value,
        Ok(parsed) => parsed,
    })
    else {
        return Value::Null;
    };
    let reply = run(command).unwrap_or_else(Reply::Error);
    shape(reply, &form, protocol)
}
