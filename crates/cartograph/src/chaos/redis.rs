//! Words to a region's Redis, past its node: how memory, roles and pauses are set from outside.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a command may take.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The longest reply that is read.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// Sends one command (words without spaces in them) and gives back the reply's text.
///
/// # Errors
/// In words: nobody answers, or Redis refuses.
pub(crate) async fn command(address: SocketAddr, words: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        let sent = stream.write_all(format!("{words}\r\nQUIT\r\n").as_bytes()).await;
        sent.map_err(|error| error.to_string())?;
        let mut reply = Vec::new();
        let mut stream = stream.take(REPLY_BYTES_MAX as u64);
        let _ = stream
            .read_to_end(&mut reply)
            .await
            .map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    let reply: String = timeout(ANSWER_MAX, exchange)
        .await
        .map_err(|_| format!("no answer within {} s", ANSWER_MAX.as_secs()))
        .flatten()
        .map_err(|error: String| format!("the Redis on {address} and `{words}`: {error}"))?;
    match reply.strip_prefix('-') {
        Some(error) => Err(format!(
            "the Redis on {address} refuses `{words}`: {}",
            error.lines().next().unwrap_or_default()
        )),
        None => Ok(reply),
    }
}

/// The bytes that it uses for data and itself.
///
/// # Errors
/// As [`command`], or the reply does not say.
pub(crate) async fn memory_used(address: SocketAddr) -> Result<u64, String> {
    let info = command(address, "INFO memory").await?;
    info.lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .ok_or_else(|| format!("the Redis on {address} does not say how much memory it uses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answering(reply: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn replies_are_read_and_refusals_are_errors() {
        let address = answering("$40\r\n# Memory\r\nused_memory:12345\r\nx:1\r\n\r\n+OK\r\n").await;
        assert_eq!(memory_used(address).await, Ok(12_345));
        let address = answering("-ERR no such thing\r\n+OK\r\n").await;
        let error = command(address, "CONFIG GET x").await.unwrap_err();
        assert!(
            error.contains("refuses `CONFIG GET x`: ERR no such thing"),
            "{error}"
        );
    }
}
