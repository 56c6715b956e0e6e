//! A server that gives canned answers, for what no installed one will say.

use std::collections::BTreeMap;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Answers, in RESP2, by command name in capitals. What is not there is answered with an error.
pub(crate) type Answers = BTreeMap<&'static str, String>;

/// Serves in the background of the test; its URL.
pub(crate) async fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, answers.clone()));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, answers: Answers) {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    while let Some(command) = next_command(&mut read).await {
        let answer = answers.get(command.as_str());
        let answer = answer.map_or_else(|| format!("-ERR no answer to {command}\r\n"), Clone::clone);
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads one command; its name.
async fn next_command(read: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<String> {
    let parts = number(read, '*').await?;
    let mut name = None;
    for _ in 0..parts {
        let mut bytes = vec![0; number(read, '$').await? + 2];
        read.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(bytes.len() - 2);
        name.get_or_insert_with(|| String::from_utf8_lossy(&bytes).to_uppercase());
    }
    name
}

async fn number(read: &mut (impl tokio::io::AsyncBufRead + Unpin), mark: char) -> Option<usize> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    line.strip_prefix(mark)?.trim_end().parse().ok()
}

/// A bulk string.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// What a claim needs: this `INFO`, and an empty head under fence 1.
pub(crate) fn claimable(info: &str) -> Answers {
    BTreeMap::from([
        ("INFO", bulk(info)),
        ("SCRIPT", bulk("sha")),
        (
            "EVAL",
            format!("*3\r\n{}*0\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n", bulk("1 0 0")),
        ),
        ("EVALSHA", ":1\r\n".to_owned()),
    ])
}
