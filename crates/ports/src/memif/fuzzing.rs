//! Bodies of the fuzz targets: any messages to a session, and any bytes in the memory of rings in use.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use packet::{BATCH, Batch, Pool, PoolConfig};

use super::half::{Borrowed, LentEmpty, LentFull};
use super::layout::Layout;
use super::memory::Memory;
use super::ring::{Borrower, Lender};
use super::session::{
    Attach, BYTES_MAX, HANDSHAKE_MAX, Input, LOG2_ENTRIES_MAX, Limits, Output, REGIONS_MAX, Reason, Session,
    Wish,
};
use super::transfer;
use super::wire::{
    AddRegion, AddRing, Direction, Hello, Init, MESSAGE, MODE_ETHERNET, Message, Text, VERSION,
};

/// Queues of the interface under test.
const QUEUES: u16 = 3;
/// Descriptors that a session may hold at once, one that it is handed included.
const DESCRIPTORS_MAX: usize = REGIONS_MAX + 2 * QUEUES as usize + 1;

/// What a step's first byte asks for besides its message.
const WITHOUT_DESCRIPTOR: u8 = 1;
const REFUSE: u8 = 2;
const TIME: u8 = 4;
const CLOSE: u8 = 8;
const SHORT: u8 = 16;

/// A session, of the side that the first byte says, under any messages: steps of a byte that says how and a message.
pub(crate) fn control(data: &[u8]) {
    let Some((&side, steps)) = data.split_first() else { return };
    let (start, descriptor) = (Instant::now(), Rc::new(()));
    let mut now = start;
    let mut session = if side & 1 == 0 {
        Session::server(now, QUEUES)
    } else {
        let wish = Wish {
            id: 7,
            secret: Text::new("s"),
            name: Text::new("fuzz"),
            queues: QUEUES,
            log2_entries: 10,
            buffer: 2048,
        };
        Session::client(now, wish)
    };
    let mut over = drain(&mut session, now, false, &descriptor);
    for step in steps.chunks(1 + MESSAGE) {
        let (how, message) = (step[0], &step[1..]);
        if how & TIME != 0 {
            now += Duration::from_millis(700);
            session.handle(now, Input::Time);
        }
        if how & CLOSE != 0 {
            session.handle(now, Input::Close(Reason::Closed));
        }
        let attached = (how & WITHOUT_DESCRIPTOR == 0).then(|| descriptor.clone());
        let mut bytes = message.to_vec();
        if how & SHORT == 0 {
            bytes.resize(MESSAGE, 0);
        }
        session.handle(now, Input::Message(&bytes, attached));
        let ended = drain(&mut session, now, how & REFUSE != 0, &descriptor);
        assert!(!(over && ended), "nothing follows the end");
        over |= ended;
        assert!(!over || session.next_deadline().is_none());
        assert!(session.next_deadline().is_none_or(|deadline| deadline <= start + HANDSHAKE_MAX));
        assert!(Rc::strong_count(&descriptor) <= DESCRIPTORS_MAX);
    }
    // Whatever state it is in, it ends, and holds nothing then.
    session.handle(now, Input::Close(Reason::Closed));
    assert_eq!(drain(&mut session, now, true, &descriptor), !over);
    assert_eq!(Rc::strong_count(&descriptor), 1);
}

/// Does what a session wants done, or refuses to; returns whether it has ended.
fn drain(session: &mut Session<Rc<()>>, now: Instant, refuse: bool, descriptor: &Rc<()>) -> bool {
    let mut over = false;
    while let Some(output) = session.poll_output() {
        assert!(!over, "nothing follows the end");
        let answer = if refuse { Err(Reason::Busy(7)) } else { Ok(()) };
        match output {
            Output::Send(message, attach) => {
                assert_eq!(Message::decode(&message.encode()), Ok(message));
                assert_eq!(attach == Attach::Region, matches!(message, Message::AddRegion(_)));
            }
            Output::Ask(init) => {
                assert_eq!((init.version, init.mode), (VERSION, MODE_ETHERNET));
                let limits = Limits { queues: QUEUES, name: Text::new("fuzz") };
                session.handle(now, Input::Admitted(answer.map(|()| limits)));
            }
            Output::Prepare(terms) => {
                assert!(terms.fits(BYTES_MAX) && (1..=LOG2_ENTRIES_MAX).contains(&terms.log2_entries));
                assert!((1..=QUEUES).contains(&terms.to_server) && (1..=QUEUES).contains(&terms.to_client));
                session.handle(now, Input::Prepared(answer));
            }
            Output::Join(offer) => {
                assert!(offer.regions.len() <= REGIONS_MAX);
                assert!(offer.regions.iter().map(|(bytes, _)| bytes).sum::<u64>() <= BYTES_MAX);
                for rings in [&offer.to_server, &offer.to_client] {
                    assert!(rings.len() <= usize::from(QUEUES));
                    for ring in rings {
                        let end = u64::from(ring.offset) + super::ring::bytes(ring.log2_entries) as u64;
                        assert!(end <= offer.regions[usize::from(ring.region)].0);
                        assert!(Rc::ptr_eq(&ring.bell, descriptor));
                    }
                }
                session.handle(now, Input::Joined(answer));
            }
            Output::Up(_) => assert_eq!(session.next_deadline(), None),
            Output::Ended(_) => over = true,
        }
    }
    over
}

/// What an honest client sends to a server, and an honest server to a client, as inputs of [`control`].
pub(crate) fn control_seeds() -> [Vec<u8>; 2] {
    let layout = Layout { to_server: 2, to_client: 1, log2_entries: 10, buffer: 2048 };
    let ring = |direction, index| {
        Message::AddRing(AddRing {
            direction,
            index,
            region: 0,
            offset: layout.ring(direction, index) as u32,
            log2_entries: layout.log2_entries,
            private_header: 0,
        })
    };
    let (id, secret, name) = (7, Text::new("s"), Text::new("seed"));
    let from_client = [
        Message::Init(Init { version: VERSION, id, mode: MODE_ETHERNET, secret, name }),
        Message::AddRegion(AddRegion { index: 0, bytes: layout.bytes() as u64 }),
        ring(Direction::ToServer, 0),
        ring(Direction::ToServer, 1),
        ring(Direction::ToClient, 0),
        Message::Connect(name),
        Message::Disconnect { code: 0, reason: Text::new("seed") },
    ];
    let hello = Hello {
        name,
        versions: (VERSION, VERSION),
        region_max: 15,
        to_client_max: 0,
        to_server_max: 1,
        log2_entries_max: 14,
    };
    let mut from_server = vec![Message::Hello(hello)];
    from_server.extend([Message::Ack; 5]);
    from_server.push(Message::Connected(name));
    [(0, &from_client[..]), (1, &from_server[..])].map(|(side, messages)| {
        let steps = messages.iter().flat_map(|message| [0].into_iter().chain(message.encode()));
        [side].into_iter().chain(steps).collect()
    })
}

/// Entries and bytes of the rings under test.
const RINGS: Layout = Layout { to_server: 1, to_client: 1, log2_entries: 3, buffer: 64 };
/// Bytes that the two rings take: what the other side writes to.
const RING_BYTES: usize = 2 * super::ring::bytes(RINGS.log2_entries);
/// Room of a packet in these tests.
const ROOM: usize = 256;

thread_local! {
    static BENCH: RefCell<Option<(Memory, Pool)>> = const { RefCell::new(None) };
}

/// Rings in use while the other side writes anything anywhere into them. A step is a byte that says who does something, or
/// that the next three say where and how many bytes are written that follow.
pub(crate) fn rings(data: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let (memory, pool) = bench.get_or_insert_with(|| {
            let config = PoolConfig { buffers: 128, room: ROOM, headroom: 0, ..PoolConfig::default() };
            let (memory, _) = Memory::make(RINGS).expect("a few pages");
            (memory, Pool::new(config).expect("a few buffers"))
        });
        Bench::new(memory, pool).run(data);
        assert_eq!(pool.available(), pool.capacity(), "no buffer is lost");
    });
}

struct Bench<'a> {
    memory: &'a Memory,
    pool: &'a Pool,
    server_rx: Borrowed,
    server_tx: Borrowed,
    client_tx: LentFull,
    client_rx: LentEmpty,
    segment: Vec<u8>,
}

impl<'a> Bench<'a> {
    fn new(memory: &'a Memory, pool: &'a Pool) -> Self {
        let words = |direction| {
            let words = memory.ring(0, RINGS.ring(direction, 0), RINGS.log2_entries).expect("a ring");
            words.format();
            words
        };
        let (to_server, to_client) = (Direction::ToServer, Direction::ToClient);
        let client_tx = LentFull::new(Lender::new(words(to_server)), memory.clone(), RINGS, 0);
        let client_rx = LentEmpty::new(Lender::new(words(to_client)), memory.clone(), RINGS, 0);
        let again = |direction| memory.ring(0, RINGS.ring(direction, 0), RINGS.log2_entries).expect("a ring");
        let borrowed = |direction| Borrowed::new(Borrower::new(again(direction)), memory.clone());
        Self {
            server_rx: borrowed(to_server),
            server_tx: borrowed(to_client),
            client_tx,
            client_rx,
            memory,
            pool,
            segment: Vec::new(),
        }
    }

    fn run(&mut self, mut data: &[u8]) {
        while let Some((&step, rest)) = data.split_first() {
            data = rest;
            let fault = match step % 8 {
                0 => self.receive(true),
                1 => self.receive(false),
                2 | 3 => self.send(step % 2 == 0, usize::from(step)),
                _ => {
                    data = self.scribble(data);
                    false
                }
            };
            if fault {
                // Such a connection ends.
                *self = Self::new(self.memory, self.pool);
            }
        }
    }

    fn receive(&mut self, server: bool) -> bool {
        let mut batch = Batch::new();
        let tally = if server {
            transfer::receive(&mut self.server_rx, self.pool, &mut batch)
        } else {
            transfer::receive(&mut self.client_rx, self.pool, &mut batch)
        };
        assert_eq!(tally.packets, batch.len() as u64);
        assert_eq!(tally.bytes, batch.iter().map(|packet| packet.len() as u64).sum::<u64>());
        assert!(batch.iter().all(|packet| (1..=ROOM).contains(&packet.len())));
        assert!(tally.dropped <= 1 + (1 << RINGS.log2_entries), "no more than there are entries");
        tally.fault.is_some()
    }

    fn send(&mut self, server: bool, seed: usize) -> bool {
        let mut batch = Batch::new();
        for number in 0..seed % BATCH {
            let len = (seed * 7 + number * 31) % (ROOM + 1);
            let frame = [number as u8; ROOM];
            let _ = batch.push(self.pool.packet(&frame[..len]).expect("a buffer"));
        }
        let count = batch.len();
        let (taken, tally) = if server {
            transfer::send(&mut self.server_tx, &mut batch, &mut self.segment)
        } else {
            transfer::send(&mut self.client_tx, &mut batch, &mut self.segment)
        };
        assert_eq!((taken, tally.packets + tally.dropped), (count - batch.len(), taken as u64));
        tally.fault.is_some()
    }

    fn scribble<'d>(&self, data: &'d [u8]) -> &'d [u8] {
        let Some((&[low, high, len], rest)) = data.split_first_chunk() else { return &[] };
        let at = usize::from(u16::from_le_bytes([low, high])) % RING_BYTES;
        let len = usize::from(len % 32).min(rest.len()).min(RING_BYTES - at);
        let (bytes, rest) = rest.split_at(len);
        if let Some(place) = self.memory.place(0, at as u32, len as u32) {
            place.write(bytes);
        }
        rest
    }
}
