//! Two sessions, and one with whoever breaks the rules.

use super::super::wire::{AddRegion, AddRing, Hello, MESSAGE, MODE_ETHERNET, SECRET, VERSION};
use super::*;

const QUEUES: u16 = 4;

fn wish(queues: u16) -> Wish {
    let (secret, name) = (Text::new("secret"), Text::new("client"));
    Wish { id: 7, secret, name, queues, log2_entries: 10, buffer: 2048 }
}

/// What a session has to say, and the answers that it wants given at once.
struct Side {
    session: Session<u32>,
    /// What it sent and the other side has not been given.
    sent: VecDeque<(Message, Attach)>,
    up: Option<String>,
    ended: Option<Reason>,
    offer: Option<Offer<u32>>,
    prepared: Option<Terms>,
}

impl Side {
    fn new(session: Session<u32>) -> Self {
        let (sent, up, ended, offer) = (VecDeque::new(), None, None, None);
        let mut side = Self { session, sent, up, ended, offer, prepared: None };
        side.drain(Instant::now());
        side
    }

    fn input(&mut self, now: Instant, input: Input<'_, u32>) {
        self.session.handle(now, input);
        self.drain(now);
    }

    fn message(&mut self, now: Instant, message: &Message, descriptor: Option<u32>) {
        self.input(now, Input::Message(&message.encode(), descriptor));
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.session.poll_output() {
            assert!(self.ended.is_none(), "nothing follows the end");
            match output {
                Output::Send(message, attach) => self.sent.push_back((message, attach)),
                Output::Ask(init) => {
                    let limits = Limits { queues: QUEUES, name: Text::new("server") };
                    let answer = if init.id == 7 { Ok(limits) } else { Err(Reason::Id(init.id)) };
                    self.session.handle(now, Input::Admitted(answer));
                }
                Output::Prepare(terms) => {
                    self.prepared = Some(terms);
                    self.session.handle(now, Input::Prepared(Ok(())));
                }
                Output::Join(offer) => {
                    self.offer = Some(offer);
                    self.session.handle(now, Input::Joined(Ok(())));
                }
                Output::Up(peer) => self.up = Some(peer.to_string()),
                Output::Ended(reason) => self.ended = Some(reason),
            }
        }
    }

    /// What the last message said, when it was a goodbye.
    fn goodbye(&self) -> Option<String> {
        match self.sent.back() {
            Some((Message::Disconnect { reason, .. }, _)) => Some(reason.to_string()),
            _ => None,
        }
    }
}

/// Hands messages over until there are none. A descriptor's number says what it is.
fn talk(now: Instant, server: &mut Side, client: &mut Side) {
    loop {
        if let Some((message, _)) = server.sent.pop_front() {
            client.message(now, &message, None);
        } else if let Some((message, attach)) = client.sent.pop_front() {
            let descriptor = match attach {
                Attach::Nothing => None,
                Attach::Region => Some(1),
                Attach::Bell(Direction::ToServer, index) => Some(100 + u32::from(index)),
                Attach::Bell(Direction::ToClient, index) => Some(200 + u32::from(index)),
            };
            server.message(now, &message, descriptor);
        } else {
            return;
        }
    }
}

#[test]
fn two_sides_come_to_terms() {
    let now = Instant::now();
    for queues in [1, 3, 4, 9] {
        let mut server = Side::new(Session::server(now, QUEUES));
        let mut client = Side::new(Session::client(now, wish(queues)));
        talk(now, &mut server, &mut client);
        assert_eq!((server.up.as_deref(), client.up.as_deref()), (Some("client"), Some("server")));
        let (terms, offer) = (client.prepared.unwrap(), server.offer.take().unwrap());
        assert_eq!((terms.to_server, terms.to_client), (queues.min(QUEUES), queues.min(QUEUES)));
        assert_eq!(offer.regions, [(terms.bytes() as u64, 1)]);
        let bells = |rings: &[RingOffer<u32>]| rings.iter().map(|ring| ring.bell).collect::<Vec<_>>();
        assert_eq!(bells(&offer.to_server), (100..).take(terms.to_server.into()).collect::<Vec<_>>());
        assert_eq!(bells(&offer.to_client), (200..).take(terms.to_client.into()).collect::<Vec<_>>());
        assert_eq!(offer.to_client[0].offset as usize, terms.ring(Direction::ToClient, 0));
        // Up, there is no hurry any more, and either side may leave.
        let later = now + 2 * HANDSHAKE_MAX;
        server.input(later, Input::Time);
        assert_eq!((server.session.next_deadline(), &server.ended), (None, &None));
        client.input(later, Input::Close(Reason::Closed));
        talk(later, &mut server, &mut client);
        assert_eq!(client.ended, Some(Reason::Closed));
        assert_eq!(server.ended, Some(Reason::Left(Text::new("port closed"))));
    }
}

#[test]
fn who_stalls_is_dismissed() {
    let now = Instant::now();
    for mut side in [Side::new(Session::server(now, QUEUES)), Side::new(Session::client(now, wish(1)))] {
        side.input(now + HANDSHAKE_MAX / 2, Input::Time);
        assert_eq!(side.ended, None);
        let deadline = side.session.next_deadline().unwrap();
        side.input(deadline, Input::Time);
        assert_eq!(side.ended, Some(Reason::Late));
        assert!(side.goodbye().unwrap().starts_with("no agreement"));
        // And what comes then is nobody's business.
        side.message(deadline, &Message::Ack, None);
    }
}

fn init() -> Init {
    Init {
        version: VERSION,
        id: 7,
        mode: MODE_ETHERNET,
        secret: Text([0; SECRET]),
        name: Text::new("client"),
    }
}

fn ring() -> AddRing {
    AddRing {
        direction: Direction::ToServer,
        index: 0,
        region: 0,
        offset: 0,
        log2_entries: 4,
        private_header: 0,
    }
}

/// What a server says to a client that sends these messages, each with a descriptor unless it is in `without`.
fn dismissed(messages: &[Message], without: Option<usize>) -> String {
    let now = Instant::now();
    let mut server = Side::new(Session::server(now, QUEUES));
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(server.ended, None, "before {message:?}");
        server.message(now, message, (without != Some(at)).then_some(9));
    }
    server.ended.as_ref().expect("it ends");
    server.goodbye().expect("and says why")
}

#[test]
fn a_server_says_what_is_wrong() {
    let good = Message::Init(init());
    let region = |index, bytes| Message::AddRegion(AddRegion { index, bytes });
    let wrong = |init: Init| dismissed(&[Message::Init(init)], None);
    assert!(wrong(Init { version: 0x0300, ..init() }).contains("version 0x0300"));
    assert!(wrong(Init { mode: 1, ..init() }).contains("Ethernet"));
    assert!(wrong(Init { id: 8, ..init() }).contains("no interface 8"));
    assert!(dismissed(&[Message::Connect(Text::new("x"))], None).contains("unexpected CONNECT"));
    assert!(dismissed(&[good, good], None).contains("unexpected INIT"));
    assert!(dismissed(&[good, region(0, 4096)], Some(1)).contains("ADD_REGION without a descriptor"));
    assert!(dismissed(&[good, region(1, 4096)], None).contains("region 1"));
    assert!(dismissed(&[good, region(0, 0)], None).contains("no bytes"));
    assert!(dismissed(&[good, region(0, BYTES_MAX), region(1, 1)], None).contains("1 GiB"));
    assert!(dismissed(&[good, region(0, u64::MAX)], None).contains("1 GiB"));
    let too_many: Vec<_> =
        [good].into_iter().chain((0..=REGIONS_MAX as u16).map(|index| region(index, 1))).collect();
    assert!(dismissed(&too_many, None).contains("region 16"));

    let with = |ring: AddRing| dismissed(&[good, region(0, 4096), Message::AddRing(ring)], None);
    assert!(with(AddRing { index: 1, ..ring() }).contains("out of turn"));
    assert!(with(AddRing { region: 1, ..ring() }).contains("no region"));
    assert!(with(AddRing { log2_entries: 0, ..ring() }).contains("2 to 16384"));
    assert!(with(AddRing { log2_entries: 255, ..ring() }).contains("2 to 16384"));
    assert!(with(AddRing { private_header: 1, ..ring() }).contains("private"));
    assert!(with(AddRing { offset: 8, ..ring() }).contains("aligned"));
    assert!(with(AddRing { offset: 4096, ..ring() }).contains("outside"));
    assert!(with(AddRing { offset: u32::MAX - 15, ..ring() }).contains("outside"));
    assert!(with(AddRing { log2_entries: 8, ..ring() }).contains("outside"));
    let mut rings = vec![good, region(0, 4096)];
    rings.extend((0..=QUEUES).map(|index| Message::AddRing(AddRing { index, ..ring() })));
    assert!(dismissed(&rings, None).contains("more than there are queues"));
}

#[test]
fn a_client_says_what_is_wrong() {
    let now = Instant::now();
    let hello = Hello {
        name: Text::new("server"),
        versions: (VERSION, VERSION),
        region_max: 0,
        to_client_max: 0,
        to_server_max: 0,
        log2_entries_max: 14,
    };
    let dismissed = |messages: &[Message]| {
        let mut client = Side::new(Session::client(now, wish(2)));
        messages.iter().for_each(|message| client.message(now, message, None));
        client.goodbye().unwrap_or_default()
    };
    assert!(dismissed(&[Message::Ack]).contains("unexpected ACK"));
    assert!(dismissed(&[Message::Hello(Hello { versions: (0x300, 0x300), ..hello })]).contains("0x0300"));
    assert!(dismissed(&[Message::Hello(hello), Message::Hello(hello)]).contains("unexpected HELLO"));
    let connected = Message::Connected(Text::new("server"));
    assert!(dismissed(&[Message::Hello(hello), connected]).contains("unexpected CONNECTED"));
    let mut late = vec![Message::Hello(hello)];
    late.extend([Message::Ack; 6]);
    assert!(dismissed(&late).contains("unexpected ACK"), "CONNECT is not acknowledged");
    // A server that takes next to nothing is served all the same.
    let least = Hello { log2_entries_max: 0, ..hello };
    let mut client = Side::new(Session::client(now, wish(2)));
    client.message(now, &Message::Hello(least), None);
    let terms = client.prepared.unwrap();
    assert_eq!((terms.to_server, terms.to_client, terms.log2_entries), (1, 1, 1));
}

#[test]
fn bytes_that_are_no_message_end_it() {
    let now = Instant::now();
    let mut server = Side::new(Session::server(now, QUEUES));
    server.input(now, Input::Message(&[0; MESSAGE], None));
    assert_eq!(server.goodbye().unwrap(), "a message of type 0");
    let mut server = Side::new(Session::server(now, QUEUES));
    server.input(now, Input::Message(&[1; MESSAGE + 1], None));
    assert_eq!(server.goodbye().unwrap(), "a message of 129 bytes");
    let mut client = Side::new(Session::client(now, wish(1)));
    client.input(now, Input::Close(Reason::Gone));
    assert_eq!((client.goodbye(), client.ended), (None, Some(Reason::Gone)), "nobody is there to be told");
}
