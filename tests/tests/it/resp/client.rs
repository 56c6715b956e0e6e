//! A small client of our own: sends words, reads values.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use cartograph_resp::{Value, encode_command};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a reply may take.
const REPLY_MAX: Duration = Duration::from_secs(20);

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Client {
    pub(super) async fn connect(port: u16) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Sends bytes as they are.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends as much of the bytes as the door takes before it closes.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next reply; `None` when the door has closed.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let read = async {
            loop {
                if let Some(value) = Value::decode(&mut self.buffer).unwrap() {
                    return Some(value);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(REPLY_MAX, read)
            .await
            .expect("a reply in time")
    }

    /// One command and its reply.
    pub(super) async fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Value {
        let mut bytes = BytesMut::new();
        encode_command(words, &mut bytes);
        self.send(&bytes).await;
        self.next().await.expect("a reply, not the end of the connection")
    }

    /// Several commands in one piece, and their replies.
    pub(super) async fn pipeline(&mut self, commands: &[&[&str]]) -> Vec<Value> {
        let mut bytes = BytesMut::new();
        for words in commands {
            encode_command(words, &mut bytes);
        }
        self.send(&bytes).await;
        let mut values = Vec::new();
        for _ in commands {
            values.push(self.next().await.expect("a reply"));
        }
        values
    }
}

/// A bulk string.
pub(super) fn bulk(text: &str) -> Value {
    Value::Bulk(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

/// `+OK`.
pub(super) fn ok() -> Value {
    Value::Simple("OK".into())
}

/// The words of an error.
pub(super) fn error(value: &Value) -> &str {
    match value {
        Value::Error(text) => text,
        other => panic!("an error was expected, not {other:?}"),
    }
}
