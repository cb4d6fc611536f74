//! A connection that may end at any moment: commands out, replies of any form in. Every call gives
//! the error that a killed server causes instead of failing.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::running::PATIENCE;

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Line(String),
    Error(String),
    Number(i64),
    Text(String),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    #[track_caller]
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    #[track_caller]
    pub fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Line(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    #[track_caller]
    pub fn texts(self) -> Vec<String> {
        match self {
            Self::Array(items) => items.into_iter().map(Self::text).collect(),
            other => panic!("{other:?} is no array"),
        }
    }
}

pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub fn receive(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = line[1..line.len() - 2].to_owned();
        let count = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match line.as_bytes()[0] {
            b'+' => Reply::Line(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Number(count()?),
            b'*' => {
                let mut items = Vec::new();
                for _ in 0..count()? {
                    items.push(self.receive()?);
                }
                Reply::Array(items)
            }
            b'$' if rest == "-1" => Reply::Nil,
            b'$' => {
                let mut bytes = vec![0; count()? as usize + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8(bytes).map_err(io::Error::other)?)
            }
            other => panic!("a reply that begins with {other}"),
        })
    }

    /// A reply, if one comes in time.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Reply> {
        self.0.get_ref().set_read_timeout(Some(patience)).unwrap();
        let is_there = self.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        is_there.then(|| self.receive().unwrap())
    }

    pub fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        encode(&mut bytes, words);
        self.send(&bytes)?;
        self.receive()
    }
}

pub fn encode(bytes: &mut Vec<u8>, words: &[impl AsRef<str>]) {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_ref().as_bytes()).collect();
    perdure_engine::effects::encode_command(bytes, &words);
}
