//! Sessions of `messenger` over TCP: JSON objects one after another, with or without blanks between them.
//!
//! | option | meaning |
//! |---|---|
//! | `--address=IP`, `--port=N` | where; 127.0.0.1, 7790 |
//!
//! Launch: `weft pox messenger.tcp_transport messenger`; then `nc 127.0.0.1 7790`

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::{Deserializer, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::messenger::{Messenger, SESSIONS_MAX};
use crate::remote::Remote;
use crate::{Component, Core, Options, OptionsError, Result, info};

/// Bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = 1 << 16;
/// Messages that wait for a slow client; beyond that it is cut off.
const BACKLOG_MAX: usize = 1_024;

/// The transport.
#[derive(Debug)]
pub struct TcpTransport {
    address: SocketAddr,
    bound: Option<SocketAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let ip: IpAddr = options.take_or("address", Ipv4Addr::LOCALHOST.into())?;
    Ok(Box::new(TcpTransport { address: SocketAddr::new(ip, options.take_or("port", 7790)?), bound: None }))
}

impl TcpTransport {
    /// Where it listens; port 0 has become one by then.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound
    }
}

impl Component for TcpTransport {
    fn start(&mut self, core: &mut Core) -> Result {
        let listener =
            TcpListener::bind(self.address).map_err(|error| format!("{}: {error}", self.address))?;
        listener.set_nonblocking(true)?;
        self.bound = Some(listener.local_addr()?);
        info!(core, "waits for clients at {}", listener.local_addr()?);
        let remote = core.remote();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("pox-messenger".into())
            .spawn(move || runtime.block_on(accept(listener, remote)))?;
        Ok(())
    }
}

async fn accept(listener: TcpListener, remote: Remote) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the messenger's socket cannot be waited for: {error}"),
    };
    let room = Arc::new(Semaphore::new(SESSIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let remote = remote.clone();
                tokio::spawn(async move {
                    session(stream, remote).await;
                    drop(place);
                });
            }
            // No descriptors left, most likely: others will end.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn session(mut stream: TcpStream, remote: Remote) {
    let (outbox, mut inbox) = mpsc::channel::<String>(BACKLOG_MAX);
    let (opened, opening) = oneshot::channel();
    let open = move |core: &mut Core| {
        let session = Messenger::with(core, |messenger, core| {
            messenger.open(move |text| outbox.try_send(text.to_owned()).is_ok(), core)
        });
        let _ = opened.send(session.flatten()); // it has gone already
    };
    if remote.post(open).is_err() {
        return;
    }
    let Ok(Some(session)) = opening.await else { return };
    let (mut reader, mut writer) = stream.split();
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    'session: loop {
        tokio::select! {
            read = reader.read(&mut chunk) => {
                let Ok(length @ 1..) = read else { break };
                pending.extend_from_slice(&chunk[..length]);
                let Some(messages) = take_messages(&mut pending) else { break };
                for message in messages {
                    let job = move |core: &mut Core| {
                        Messenger::with(core, |messenger, core| messenger.receive(session, &message, core));
                    };
                    if remote.post(job).is_err() {
                        break 'session;
                    }
                }
            }
            text = inbox.recv() => {
                let Some(text) = text else { break };
                if writer.write_all(format!("{text}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = remote.post(move |core| {
        Messenger::with(core, |messenger, core| messenger.close(session, core));
    });
}

/// Takes the whole messages off the front. `None` for what is no JSON, or too long.
fn take_messages(pending: &mut Vec<u8>) -> Option<Vec<String>> {
    let mut messages = Vec::new();
    let mut stream = Deserializer::from_slice(pending).into_iter::<Value>();
    loop {
        match stream.next() {
            Some(Ok(message)) => messages.push(message.to_string()),
            Some(Err(error)) if error.is_eof() => break,
            Some(Err(_)) => return None,
            None => break,
        }
    }
    let taken = stream.byte_offset();
    pending.drain(..taken);
    (pending.len() <= MESSAGE_BYTES_MAX).then_some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_as_they_are_whole() {
        let mut pending = br#"{"a":1}{"b":2} {"c""#.to_vec();
        assert_eq!(take_messages(&mut pending).unwrap(), [r#"{"a":1}"#, r#"{"b":2}"#]);
        pending.extend_from_slice(br#":3}"#);
        assert_eq!(take_messages(&mut pending).unwrap(), [r#"{"c":3}"#]);
        assert!(pending.is_empty());
        assert_eq!(take_messages(&mut b"{]".to_vec()), None);
        assert_eq!(
            take_messages(&mut vec![b'['; MESSAGE_BYTES_MAX + 1]),
            None,
            "depth and length are bounded"
        );
    }
}
