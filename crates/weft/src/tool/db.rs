//! A key-value database with a line protocol.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::lines::read_line;
use super::serve;

/// Keys that the database holds at most.
const KEYS_MAX: usize = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Db {
    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 5432)]
    listen: u16,
}

impl Db {
    pub(super) fn run(self) -> io::Result<()> {
        let store = Mutex::new(HashMap::new());
        serve(self.listen, move |stream| session(stream, &store))
    }
}

/// Serves one connection: a request a line, a reply a line.
fn session(stream: TcpStream, store: &Mutex<HashMap<String, String>>) -> io::Result<()> {
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    while let Some(line) = read_line(&mut input)? {
        let reply = answer(&line, &mut store.lock().unwrap_or_else(PoisonError::into_inner));
        output.write_all(format!("{reply}\n").as_bytes())?;
    }
    Ok(())
}

/// Executes one request.
fn answer(line: &str, store: &mut HashMap<String, String>) -> String {
    let mut words = line.splitn(3, ' ');
    let (verb, key, value) = (words.next().unwrap_or_default(), words.next(), words.next());
    let full = store.len() >= KEYS_MAX && key.is_some_and(|key| !store.contains_key(key));
    match (verb, key, value) {
        ("SET" | "INCR", Some(_), _) if full => {
            format!("ERR the database holds {KEYS_MAX} keys, which is all it takes")
        }
        ("GET", Some(key), None) => store.get(key).cloned().unwrap_or_default(),
        ("SET", Some(key), Some(value)) => {
            store.insert(key.into(), value.into());
            "OK".into()
        }
        ("INCR", Some(key), None) => {
            let count =
                store.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0).saturating_add(1);
            store.insert(key.into(), count.to_string());
            count.to_string()
        }
        _ => "ERR say GET key, SET key value or INCR key".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered() {
        let mut store = HashMap::new();
        let mut say = |line| answer(line, &mut store);
        assert_eq!(say("GET a"), "");
        assert_eq!(say("SET a two words"), "OK");
        assert_eq!(say("GET a"), "two words");
        assert_eq!((say("INCR n"), say("INCR n")), ("1".into(), "2".into()));
        assert!(
            say("").starts_with("ERR") && say("SET a").starts_with("ERR") && say("DROP a").starts_with("ERR")
        );
    }
}
