//! A private Redis to measure, and a connection of our own to ask it things that a store has no business to ask.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cartograph_store::launcher::{self, PrivateServer};
use cartograph_store::{RedisConfig, RedisStore};

/// A private server, without an append-only file.
pub struct Server {
    process: PrivateServer,
    connection: BufReader<TcpStream>,
    _directory: tempfile::TempDir,
    /// Its version.
    pub version: String,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Nil,
    Text(String),
    Integer(u64),
    List(Vec<Answer>),
}

impl Answer {
    /// As a number.
    pub fn number(&self) -> u64 {
        let Answer::Integer(n) = self else {
            panic!("not a number: {self:?}");
        };
        *n
    }

    /// As text.
    pub fn text(self) -> String {
        let Answer::Text(text) = self else {
            panic!("not a text: {self:?}");
        };
        text
    }

    /// As a list of texts.
    pub fn texts(self) -> Vec<String> {
        let Answer::List(list) = self else {
            panic!("not a list: {self:?}");
        };
        list.into_iter().map(Answer::text).collect()
    }
}

impl Server {
    pub fn start() -> Self {
        let program = launcher::find().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let server = PrivateServer::start_anywhere(&program, directory.path(), &[]).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        Server {
            process: server,
            connection: BufReader::new(stream),
            _directory: directory,
            version: program.version,
        }
    }

    /// A store in it.
    pub fn store(&self) -> Arc<RedisStore> {
        let mut config = RedisConfig::new(self.process.url());
        config.commit_timeout = Duration::from_mins(1);
        config.read_timeout = Duration::from_mins(1);
        Arc::new(RedisStore::new(config).unwrap())
    }

    /// CPU time of its main thread so far.
    pub fn cpu(&self) -> Duration {
        let pid = self.process.pid();
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }

    /// Sends commands together and reads their answers.
    pub fn ask_all<C: AsRef<[A]>, A: AsRef<[u8]>>(&mut self, commands: &[C]) -> Vec<Answer> {
        let mut bytes = Vec::new();
        for command in commands {
            let words = command.as_ref();
            bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
            for word in words {
                bytes.extend(format!("${}\r\n", word.as_ref().len()).into_bytes());
                bytes.extend(word.as_ref());
                bytes.extend(b"\r\n");
            }
        }
        self.connection.get_mut().write_all(&bytes).unwrap();
        commands.iter().map(|_| self.answer()).collect()
    }

    /// One command, its words separated by spaces.
    pub fn ask(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split(' ').collect();
        self.ask_all(&[words]).pop().unwrap()
    }

    /// The same, where the answer is a number.
    pub fn number(&mut self, line: &str) -> u64 {
        self.ask(line).number()
    }

    /// The same, where the answer is text.
    pub fn text(&mut self, line: &str) -> String {
        self.ask(line).text()
    }

    /// `used_memory`, bytes.
    pub fn used_memory(&mut self) -> u64 {
        let info = self.text("INFO memory");
        let line = info.lines().find_map(|l| l.strip_prefix("used_memory:")).unwrap();
        line.trim().parse().unwrap()
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" => Answer::Text(rest.to_owned()),
            ":" => Answer::Integer(rest.parse().unwrap()),
            "$" | "*" if rest == "-1" => Answer::Nil,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.connection.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Answer::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" => Answer::List((0..rest.parse().unwrap()).map(|_| self.answer()).collect()),
            _ => panic!("redis: {line}"),
        }
    }
}
