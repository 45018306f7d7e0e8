//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`.
//!
//! Not for other uses.

use std::net::SocketAddr;

use sim::Time;

use crate::connection::{Config, Connection, Event, Input, Received};
use crate::endpoint::Endpoint;
use crate::secure::{Initiator, Key, Responder, Seal};
use crate::socks::{Handshake, Protocol, Step};
use crate::wire::{Datagram, Frame, Frames, number};

const KEY: Key = Key::new([7; 32]);
/// Datagrams that are taken out after each that goes in: more would be an endless loop.
const OUTPUTS_MAX: usize = 100_000;

/// Any bytes as a datagram, and as frames: what is read is written and reads back the same.
pub fn wire(data: &[u8]) {
    if let Ok(datagram) = Datagram::parse(data) {
        let mut again = Vec::new();
        datagram.emit(&mut again);
        assert_eq!(Datagram::parse(&again), Ok(datagram));
    }
    let mut frames = Frames::new(data);
    while let Some(frame) = frames.next() {
        let Ok(frame) = frame else {
            assert!(frames.next().is_none(), "nothing behind an error");
            return;
        };
        let mut again = Vec::new();
        frame.emit(&mut again);
        assert_eq!(Frames::new(&again).collect::<Vec<_>>(), [Ok(frame)]);
    }
}

/// Any bytes as those of a local client of the proxy.
pub fn socks(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    for protocol in [Protocol::Socks5, Protocol::Http] {
        let mut handshake = Handshake::new(protocol);
        'pieces: for piece in rest.chunks(usize::from(*first).max(1)) {
            handshake.push(piece);
            loop {
                match handshake.step() {
                    Step::More => break,
                    Step::Say(words) | Step::Refuse(words) if words.is_empty() => panic!("nothing to say"),
                    Step::Say(_) => {}
                    Step::Connect(to) => {
                        assert_eq!(to.to_string().parse().as_ref(), Ok(&to));
                        break 'pieces;
                    }
                    Step::Refuse(_) => break 'pieces,
                }
            }
        }
        assert!(handshake.rest().len() <= rest.len());
    }
}

/// Any bytes as what strangers send to both sides of a connection that is open: nothing comes of it.
pub fn strangers(data: &[u8]) {
    let from: SocketAddr = ([192, 0, 2, 1], 4_000).into();
    let mut now = Time::from_secs(1);
    let mut endpoint = Endpoint::new(Config::default(), KEY, 4, [1; 32]);
    let mut client = Connection::client(now, Config::default(), KEY, [2; 32]);
    let mut out = Vec::new();
    exchange(now, &mut client, &mut endpoint, from);
    for piece in data.chunks(200) {
        now += Time::from_micros(u64::from(piece[0]) * 10);
        let mut padded = piece.to_vec();
        if piece.len() > 100 {
            padded.resize(1_250, 0);
        }
        client.handle(now, Input::Datagram(&padded));
        for at in [from, ([192, 0, 2, 2], 4_000).into()] {
            endpoint.handle(now, at, &padded);
            while let Some((to, level)) = endpoint.poll_output(now, &mut out) {
                assert!(to == at && level == 0 && out.len() <= padded.len(), "no more than came");
            }
        }
        assert!(client.poll_output(now, &mut out).is_none());
    }
    assert!(client.is_open() && client.poll_event().is_none() && endpoint.len() == 1);
    let stream = client.open(now, b"there").expect("the first stream");
    exchange(now, &mut client, &mut endpoint, from);
    assert!(matches!(endpoint.poll_event(), Some((_, Event::Asked { stream: 0, .. }))) && stream == 0);
}

/// Passes on what both sides have to say, without loss, in no time; the client's events until then are forgotten.
fn exchange(now: Time, client: &mut Connection, endpoint: &mut Endpoint, from: SocketAddr) {
    let mut out = Vec::new();
    for _ in 0..4 {
        while client.poll_output(now, &mut out).is_some() {
            endpoint.handle(now, from, &out);
        }
        while endpoint.poll_output(now, &mut out).is_some() {
            client.handle(now, Input::Datagram(&out));
        }
    }
    while client.poll_event().is_some() {}
}

/// Any bytes as the frames of a client that has the key, and of such a server: nothing panics, and memory stays bounded.
pub fn peers(data: &[u8]) {
    server(data);
    client(data);
}

const CONFIG: fn() -> Config =
    || Config { streams: 16, memory: 1 << 20, buffer: 256 << 10, ..Config::default() };

fn server(data: &[u8]) {
    let from: SocketAddr = ([192, 0, 2, 1], 4_000).into();
    let mut endpoint = Endpoint::new(CONFIG(), KEY, 4, [1; 32]);
    let (mut initiator, noise) =
        Initiator::new(&KEY, [3; 32], &1_232_u16.to_be_bytes()).expect("a handshake");
    let mut bytes = Vec::new();
    Datagram::Hello { client: 5, cookie: None, noise: &noise }.emit(&mut bytes);
    endpoint.handle(Time::ZERO, from, &bytes);
    endpoint.poll_output(Time::ZERO, &mut bytes).expect("an answer");
    let Ok(Datagram::Welcome { noise, .. }) = Datagram::parse(&bytes) else { panic!("no welcome") };
    let (payload, seal) = initiator.finish(noise, &KEY).expect("the server's");
    let id = u64::from_be_bytes(payload[2..10].try_into().expect("an id"));
    feed(data, id, &seal, |now, datagram| {
        endpoint.handle(now, from, datagram);
        endpoint.timer(now);
        while let Some((id, event)) = endpoint.poll_event() {
            if let Some(connection) = endpoint.connection(id) {
                act(now, connection, &event);
            }
        }
        let mut out = Vec::new();
        let outputs = (0..OUTPUTS_MAX).take_while(|_| endpoint.poll_output(now, &mut out).is_some()).count();
        assert!(outputs < OUTPUTS_MAX, "an end of it");
    });
}

fn client(data: &[u8]) {
    let mut connection = Connection::client(Time::ZERO, CONFIG(), KEY, [2; 32]);
    for _ in 0..4 {
        connection.open(Time::ZERO, b"somewhere");
    }
    let (mut hello, mut welcome) = (Vec::new(), Vec::new());
    connection.poll_output(Time::ZERO, &mut hello);
    let Ok(Datagram::Hello { client, noise, .. }) = Datagram::parse(&hello) else { panic!("no hello") };
    let responder = Responder::new(&KEY, [4; 32], noise).expect("the client's");
    let mut payload = 1_232_u16.to_be_bytes().to_vec();
    payload.extend([9; 24]);
    let (noise, seal) = responder.finish(&payload).expect("a handshake");
    Datagram::Welcome { client, noise: &noise }.emit(&mut welcome);
    connection.handle(Time::ZERO, Input::Datagram(&welcome));
    assert!(connection.is_open());
    feed(data, client, &seal, |now, datagram| {
        connection.handle(now, Input::Datagram(datagram));
        connection.handle(now, Input::Timer);
        while let Some(event) = connection.poll_event() {
            act(now, &mut connection, &event);
        }
        let mut out = Vec::new();
        let outputs =
            (0..OUTPUTS_MAX).take_while(|_| connection.poll_output(now, &mut out).is_some()).count();
        assert!(outputs < OUTPUTS_MAX, "an end of it");
    });
}

/// Cuts bytes into datagrams: how much later (2), level and length (1 each), frames.
fn feed(data: &[u8], id: u64, seal: &Seal, mut take: impl FnMut(Time, &[u8])) {
    let (mut rest, mut now, mut counts) = (data, Time::ZERO, [0_u64; 8]);
    while let [later, later_too, level, length, more @ ..] = rest {
        let (frames, behind) = more.split_at(usize::from(*length).min(more.len()));
        rest = behind;
        now += Time::from_micros(u64::from(u16::from_be_bytes([*later, *later_too])) * 10);
        let count = &mut counts[usize::from(level & 7)];
        let number = number(*level, *count);
        *count += 1;
        let mut datagram = Vec::new();
        Datagram::Data { id, number, sealed: &[] }.emit(&mut datagram);
        seal.seal(number, frames, &mut datagram);
        take(now, &datagram);
    }
}

/// An application that grants, answers, and takes what comes.
fn act(now: Time, connection: &mut Connection, event: &Event) {
    match event {
        Event::Asked { stream, target } if target.first() == Some(&b'n') => {
            connection.reset(*stream, crate::connection::Code::Denied, "no");
        }
        Event::Asked { stream, .. } => connection.accept(now, *stream),
        Event::Readable { stream } => {
            while let Received::Bytes(bytes) = connection.received(*stream) {
                let length = bytes.len();
                connection.take(*stream, length);
            }
            connection.finish(*stream);
        }
        Event::Opened { .. }
        | Event::Writable { .. }
        | Event::Reset { .. }
        | Event::Closed(_)
        | Event::Connected => {}
    }
    if let Event::Asked { stream, .. } | Event::Opened { stream } = event {
        connection.write(*stream, &[b'x'; 20_000]);
    }
    assert!(connection.memory() <= (1 << 20) + 2 * 16 * (64 << 10), "{} bytes", connection.memory());
}

/// Frames that a fuzzer may begin with, as [`peers`] reads them.
pub fn seeds() -> Vec<Vec<u8>> {
    let open = |stream| Frame::Open { stream, room: 100_000, target: b"connect a:80" };
    let data = |stream, offset, last| Frame::Data { stream, offset, bytes: b"some bytes of a stream", last };
    let mut sack = crate::Sack::default();
    sack.push((2_368, 3_552));
    let ack = |ack, sack| Frame::Ack { stream: 0, ack, room: 50_000, arrival: now(9), sack };
    let conversations: [&[(u8, Frame<'_>)]; 4] = [
        &[
            (0, open(0)),
            (0, data(0, 0, false)),
            (1, data(0, 44, true)),
            (0, data(0, 22, false)),
            (0, ack(1_184, sack)),
        ],
        &[
            (0, open(0)),
            (0, open(1)),
            (2, ack(0, sack)),
            (0, ack(0, sack)),
            (0, ack(4_000, crate::Sack::default())),
        ],
        &[
            (0, Frame::Opened { stream: 0, room: 90_000 }),
            (0, Frame::Opened { stream: 1, room: 10 }),
            (0, data(0, 0, true)),
            (0, Frame::Ask { stream: 0 }),
            (0, Frame::Room { stream: 1, ack: 0, room: 70_000 }),
            (0, Frame::Reset { stream: 2, code: 2, text: b"no" }),
        ],
        &[
            (0, Frame::Ping),
            (0, open(0)),
            (0, Frame::Reset { stream: 0, code: 0, text: b"" }),
            (0, Frame::Close { code: 0, text: b"bye" }),
        ],
    ];
    let written = |conversation: &&[(u8, Frame<'_>)]| {
        let mut bytes = Vec::new();
        for (level, frame) in *conversation {
            let mut frames = Vec::new();
            frame.emit(&mut frames);
            bytes.extend([3, 232, *level, frames.len() as u8]); // 10 ms later
            bytes.extend(frames);
        }
        bytes
    };
    conversations.iter().map(written).collect()
}

fn now(ms: u64) -> Time {
    Time::from_millis(ms)
}
