//! DHCP for IPv4 (RFC 2131, options RFC 2132): what clients, servers and relays say, over UDP ports 67 and 68.
//!
//! ```text
//! 0    1       2      3      4     8      10      12       28              44      108    236      240
//! | op | htype | hlen | hops | xid | secs | flags | 4 × IP | hardware addr | sname | file | cookie | options
//! ```
//!
//! Options are read from the options field and, where option 52 says so, from `file` and `sname` (RFC 2131 §4.1). An
//! option that comes twice counts once, the first; long options in several parts (RFC 3396) are not joined.
//!
//! ```
//! use packet::wire::{MacAddr, dhcpv4};
//! let ask = dhcpv4::Repr::discover(7, MacAddr([2, 0, 0, 0, 0, 1]));
//! let mut bytes = vec![0; ask.buffer_len()];
//! ask.emit(&mut dhcpv4::View::new_unchecked(&mut bytes[..]));
//! let view = dhcpv4::View::new_checked(&bytes[..])?;
//! let asked = dhcpv4::Repr::parse(&view)?;
//! let offer = asked.reply(dhcpv4::MessageType::OFFER, "10.0.0.5".parse()?, "10.0.0.1".parse()?);
//! assert_eq!(offer.to_string(), "DHCP Offer xid 0x7 to 02:00:00:00:00:01, your address 10.0.0.5, server 10.0.0.1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::{Field, MacAddr, WireError, array, be16, be32, need, put16, put32, span};

/// Bytes before the options, the magic cookie included.
pub const HEADER_LEN: usize = 240;
/// Bytes of the shortest message that old relays and clients take (RFC 1542 §2.1); shorter ones are padded.
pub const MESSAGE_LEN_MIN: usize = 300;
/// Options walked in one message.
pub const OPTIONS_MAX: usize = 128;
/// Bytes of one option's data.
pub const OPTION_LEN_MAX: usize = 255;
/// Addresses kept of a list of routers or name servers; those behind are left out.
pub const ADDRESSES_MAX: usize = 8;
/// The UDP port of servers and relays.
pub const SERVER_PORT: u16 = 67;
/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 68;

mod field {
    use super::Field;
    pub(super) const OPERATION: usize = 0;
    pub(super) const HARDWARE: Field = 1..3;
    pub(super) const HOPS: usize = 3;
    pub(super) const TRANSACTION: Field = 4..8;
    pub(super) const SECONDS: Field = 8..10;
    pub(super) const FLAGS: Field = 10..12;
    pub(super) const CLIENT_IP: Field = 12..16;
    pub(super) const YOUR_IP: Field = 16..20;
    pub(super) const NEXT_SERVER: Field = 20..24;
    pub(super) const RELAY_IP: Field = 24..28;
    pub(super) const CLIENT_MAC: Field = 28..34;
    pub(super) const SERVER_NAME: Field = 44..108;
    pub(super) const FILE: Field = 108..236;
    pub(super) const COOKIE: Field = 236..240;
}

const COOKIE: u32 = 0x6382_5363;
const ETHERNET: u16 = 0x0106; // hardware type 1, address length 6
const BROADCAST: u16 = 0x8000;

/// Numbers of options (IANA bootp-dhcp-parameters).
pub mod option {
    /// Filler.
    pub const PAD: u8 = 0;
    /// Subnet mask.
    pub const SUBNET_MASK: u8 = 1;
    /// Routers, the preferred one first.
    pub const ROUTERS: u8 = 3;
    /// Name servers.
    pub const NAME_SERVERS: u8 = 6;
    /// The client's name.
    pub const HOST_NAME: u8 = 12;
    /// The domain that completes names.
    pub const DOMAIN_NAME: u8 = 15;
    /// The link's MTU.
    pub const MTU: u8 = 26;
    /// The subnet's broadcast address.
    pub const BROADCAST_ADDRESS: u8 = 28;
    /// The address the client wants.
    pub const REQUESTED_IP: u8 = 50;
    /// How long an address may be used.
    pub const LEASE_TIME: u8 = 51;
    /// `file` (1), `sname` (2) or both (3) hold options.
    pub const OVERLOAD: u8 = 52;
    /// Kind of message.
    pub const MESSAGE_TYPE: u8 = 53;
    /// Which server.
    pub const SERVER: u8 = 54;
    /// Options the client asks for.
    pub const PARAMETERS: u8 = 55;
    /// What went wrong, in words.
    pub const MESSAGE: u8 = 56;
    /// T1: when to ask the server again.
    pub const RENEWAL_TIME: u8 = 58;
    /// T2: when to ask any server.
    pub const REBINDING_TIME: u8 = 59;
    /// How the client names itself.
    pub const CLIENT_ID: u8 = 61;
    /// Nothing follows.
    pub const END: u8 = 255;
}

/// Kind of message (RFC 2132 §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Which servers are there?
    pub const DISCOVER: Self = Self(1);
    /// A server offers an address.
    pub const OFFER: Self = Self(2);
    /// The client takes it, or renews it.
    pub const REQUEST: Self = Self(3);
    /// The client's address is in use already.
    pub const DECLINE: Self = Self(4);
    /// It has the address.
    pub const ACK: Self = Self(5);
    /// It has not.
    pub const NAK: Self = Self(6);
    /// The client gives it back.
    pub const RELEASE: Self = Self(7);
    /// The client has an address and wants the rest.
    pub const INFORM: Self = Self(8);
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DISCOVER => "Discover",
            Self::OFFER => "Offer",
            Self::REQUEST => "Request",
            Self::DECLINE => "Decline",
            Self::ACK => "ACK",
            Self::NAK => "NACK",
            Self::RELEASE => "Release",
            Self::INFORM => "Inform",
            Self(other) => return write!(f, "Unknown ({other})"),
        })
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A client (1, BOOTREQUEST).
    Request,
    /// A server (2, BOOTREPLY).
    Reply,
}

/// A DHCP message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the header, hardware other than Ethernet, an unknown operation, no magic cookie (plain
    /// BOOTP). Options are checked as they are walked.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("dhcp header", data, HEADER_LEN)?;
        let wrong = |what, value: u32| Err(WireError::BadValue { what, value: u64::from(value) });
        match (data[field::OPERATION], be16(&data[field::HARDWARE]), be32(&data[field::COOKIE])) {
            (1 | 2, ETHERNET, COOKIE) => Ok(Self { buffer }),
            (1 | 2, ETHERNET, cookie) => wrong("dhcp cookie", cookie),
            (1 | 2, hardware, _) => wrong("dhcp hardware type and length", u32::from(hardware)),
            (operation, ..) => wrong("dhcp operation", u32::from(operation)),
        }
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    fn ip(&self, field: Field) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field]).into()
    }

    /// Who speaks.
    pub fn operation(&self) -> Operation {
        if self.buffer.as_ref()[field::OPERATION] == 2 { Operation::Reply } else { Operation::Request }
    }

    /// Relays passed.
    pub fn hops(&self) -> u8 {
        self.buffer.as_ref()[field::HOPS]
    }

    /// Chosen by the client, repeated in answers.
    pub fn transaction(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::TRANSACTION])
    }

    /// Seconds since the client began.
    pub fn seconds(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::SECONDS])
    }

    /// The client cannot receive unicast yet.
    pub fn broadcast(&self) -> bool {
        be16(&self.buffer.as_ref()[field::FLAGS]) & BROADCAST != 0
    }

    /// The address the client has (`ciaddr`).
    pub fn client_ip(&self) -> Ipv4Addr {
        self.ip(field::CLIENT_IP)
    }

    /// The address the client gets (`yiaddr`).
    pub fn your_ip(&self) -> Ipv4Addr {
        self.ip(field::YOUR_IP)
    }

    /// The server to boot from (`siaddr`).
    pub fn next_server(&self) -> Ipv4Addr {
        self.ip(field::NEXT_SERVER)
    }

    /// The relay on the client's link (`giaddr`).
    pub fn relay_ip(&self) -> Ipv4Addr {
        self.ip(field::RELAY_IP)
    }

    /// The client's Ethernet address.
    pub fn client_mac(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::CLIENT_MAC]))
    }

    /// The options, of all fields that hold some.
    pub fn options(&self) -> Options<'_> {
        let data = self.buffer.as_ref();
        let main = span(data, HEADER_LEN, usize::MAX);
        let mut options = Options { area: main, rest: [&[], &[]], seen: 0 };
        let mut overload =
            options.clone().map_while(Result::ok).filter(|(kind, _)| *kind == option::OVERLOAD);
        if let Some((_, [which])) = overload.next() {
            let field = |bit, field: Field| if which & bit != 0 { &data[field] } else { &data[..0] };
            options.rest = [field(1, field::FILE), field(2, field::SERVER_NAME)];
        }
        options
    }

    /// The data of the first option of that number.
    pub fn option(&self, number: u8) -> Option<&[u8]> {
        self.options().map_while(Result::ok).find(|(kind, _)| *kind == number).map(|(_, data)| data)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BOOTP/DHCP, ")?;
        match self.operation() {
            Operation::Request => write!(f, "Request from {}", self.client_mac())?,
            Operation::Reply => f.write_str("Reply")?,
        }
        write!(f, ", length {}", self.buffer.as_ref().len())?;
        match Repr::parse(self) {
            Ok(repr) => write!(f, ": {repr}"),
            Err(wrong) => write!(f, " [{wrong}]"),
        }
    }
}

/// Walks options as pairs of number and data, without fillers; at most [`OPTIONS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    area: &'a [u8],
    rest: [&'a [u8]; 2],
    seen: usize,
}

impl<'a> Options<'a> {
    /// The next option, `None` at the end of the last field.
    fn advance(&mut self) -> Result<Option<(u8, &'a [u8])>, WireError> {
        loop {
            match self.area {
                [option::PAD, rest @ ..] => self.area = rest,
                [] | [option::END, ..] => {
                    let [next, after] = self.rest;
                    (self.area, self.rest) = (next, [after, &[]]);
                    if next.is_empty() && after.is_empty() {
                        return Ok(None);
                    }
                }
                _ => break,
            }
        }
        if self.seen == OPTIONS_MAX {
            return Err(WireError::TooMany { what: "dhcp options", limit: OPTIONS_MAX });
        }
        need("dhcp option", self.area, 2)?;
        let end = 2 + usize::from(self.area[1]);
        need("dhcp option", self.area, end)?;
        let (option, rest) = self.area.split_at(end);
        self.area = rest;
        self.seen += 1;
        Ok(Some((option[0], &option[2..])))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let option = self.advance().transpose();
        if matches!(option, Some(Err(_))) {
            *self = Self { area: &[], rest: [&[], &[]], seen: self.seen };
        }
        option
    }
}

/// A list of addresses, the preferred one first.
pub type Addresses = ArrayVec<Ipv4Addr, ADDRESSES_MAX>;

/// What a message says; options it has no name for are left out. Data of one option is at most [`OPTION_LEN_MAX`] bytes:
/// what is longer is cut when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repr<'a> {
    /// Kind of message.
    pub kind: MessageType,
    /// Who speaks.
    pub operation: Operation,
    /// Relays passed.
    pub hops: u8,
    /// Chosen by the client, repeated in answers.
    pub transaction: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// The client cannot receive unicast yet.
    pub broadcast: bool,
    /// The address the client has, or 0.0.0.0.
    pub client_ip: Ipv4Addr,
    /// The address the client gets, or 0.0.0.0.
    pub your_ip: Ipv4Addr,
    /// The server to boot from, or 0.0.0.0.
    pub next_server: Ipv4Addr,
    /// The relay on the client's link, or 0.0.0.0.
    pub relay_ip: Ipv4Addr,
    /// The client's Ethernet address.
    pub client_mac: MacAddr,
    /// The address the client wants.
    pub requested_ip: Option<Ipv4Addr>,
    /// Which server.
    pub server: Option<Ipv4Addr>,
    /// Seconds the address may be used.
    pub lease_s: Option<u32>,
    /// Seconds until the client should ask the server again (T1).
    pub renewal_s: Option<u32>,
    /// Seconds until the client should ask any server (T2).
    pub rebinding_s: Option<u32>,
    /// Subnet mask.
    pub subnet_mask: Option<Ipv4Addr>,
    /// The subnet's broadcast address.
    pub broadcast_address: Option<Ipv4Addr>,
    /// The link's MTU.
    pub mtu: Option<u16>,
    /// Routers.
    pub routers: Addresses,
    /// Name servers.
    pub name_servers: Addresses,
    /// The domain that completes names.
    pub domain_name: Option<&'a [u8]>,
    /// The client's name.
    pub host_name: Option<&'a [u8]>,
    /// How the client names itself.
    pub client_id: Option<&'a [u8]>,
    /// Numbers of the options the client asks for.
    pub parameters: &'a [u8],
    /// What went wrong, in words.
    pub message: Option<&'a [u8]>,
}

const fn bad_length(what: &'static str, data: &[u8]) -> WireError {
    WireError::BadLength { what, value: data.len() }
}

fn address(what: &'static str, data: &[u8]) -> Result<Ipv4Addr, WireError> {
    <[u8; 4]>::try_from(data).map(Ipv4Addr::from).map_err(|_| bad_length(what, data))
}

fn word(what: &'static str, data: &[u8]) -> Result<u32, WireError> {
    <[u8; 4]>::try_from(data).map(u32::from_be_bytes).map_err(|_| bad_length(what, data))
}

fn addresses(what: &'static str, data: &[u8]) -> Result<Addresses, WireError> {
    if data.is_empty() || !data.len().is_multiple_of(4) {
        return Err(bad_length(what, data));
    }
    Ok(data.chunks_exact(4).take(ADDRESSES_MAX).map(|chunk| array::<4>(chunk).into()).collect())
}

/// `slot` takes `value` unless it has one.
fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

impl<'a> Repr<'a> {
    /// A message without options.
    #[must_use]
    pub fn new(kind: MessageType, operation: Operation, transaction: u32, client_mac: MacAddr) -> Self {
        Self {
            kind,
            operation,
            hops: 0,
            transaction,
            seconds: 0,
            broadcast: false,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            next_server: Ipv4Addr::UNSPECIFIED,
            relay_ip: Ipv4Addr::UNSPECIFIED,
            client_mac,
            requested_ip: None,
            server: None,
            lease_s: None,
            renewal_s: None,
            rebinding_s: None,
            subnet_mask: None,
            broadcast_address: None,
            mtu: None,
            routers: Addresses::new(),
            name_servers: Addresses::new(),
            domain_name: None,
            host_name: None,
            client_id: None,
            parameters: &[],
            message: None,
        }
    }

    /// A client that looks for servers, and for mask, router and name servers.
    #[must_use]
    pub fn discover(transaction: u32, client_mac: MacAddr) -> Self {
        const WANTED: &[u8] = &[
            option::SUBNET_MASK,
            option::ROUTERS,
            option::NAME_SERVERS,
            option::DOMAIN_NAME,
            option::LEASE_TIME,
        ];
        let repr = Self::new(MessageType::DISCOVER, Operation::Request, transaction, client_mac);
        Self { broadcast: true, parameters: WANTED, ..repr }
    }

    /// A server's answer to this message.
    #[must_use]
    pub fn reply(&self, kind: MessageType, your_ip: Ipv4Addr, server: Ipv4Addr) -> Self {
        let repr = Self::new(kind, Operation::Reply, self.transaction, self.client_mac);
        Self { broadcast: self.broadcast, relay_ip: self.relay_ip, your_ip, server: Some(server), ..repr }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// No message type, an option that ends behind its field or whose length does not fit its kind.
    pub fn parse<T: AsRef<[u8]>>(view: &'a View<T>) -> Result<Self, WireError> {
        let mut repr = Self::new(MessageType(0), view.operation(), view.transaction(), view.client_mac());
        repr.hops = view.hops();
        repr.seconds = view.seconds();
        repr.broadcast = view.broadcast();
        repr.client_ip = view.client_ip();
        repr.your_ip = view.your_ip();
        repr.next_server = view.next_server();
        repr.relay_ip = view.relay_ip();
        for option in view.options() {
            let (number, data) = option?;
            repr.option(number, data)?;
        }
        if repr.kind == MessageType(0) {
            return Err(WireError::BadValue { what: "dhcp message type", value: 0 });
        }
        Ok(repr)
    }

    /// Takes one option in.
    fn option(&mut self, number: u8, data: &'a [u8]) -> Result<(), WireError> {
        match number {
            option::MESSAGE_TYPE => {
                let [kind] = data else { return Err(bad_length("dhcp message type", data)) };
                if self.kind == MessageType(0) {
                    self.kind = MessageType(*kind);
                }
            }
            option::SUBNET_MASK => first(&mut self.subnet_mask, address("dhcp subnet mask", data)?),
            option::ROUTERS if self.routers.is_empty() => self.routers = addresses("dhcp routers", data)?,
            option::NAME_SERVERS if self.name_servers.is_empty() => {
                self.name_servers = addresses("dhcp name servers", data)?;
            }
            option::HOST_NAME => first(&mut self.host_name, data),
            option::DOMAIN_NAME => first(&mut self.domain_name, data),
            option::MTU => {
                let mtu = <[u8; 2]>::try_from(data).map_err(|_| bad_length("dhcp mtu", data))?;
                first(&mut self.mtu, u16::from_be_bytes(mtu));
            }
            option::BROADCAST_ADDRESS => {
                first(&mut self.broadcast_address, address("dhcp broadcast address", data)?);
            }
            option::REQUESTED_IP => first(&mut self.requested_ip, address("dhcp requested address", data)?),
            option::LEASE_TIME => first(&mut self.lease_s, word("dhcp lease time", data)?),
            option::SERVER => first(&mut self.server, address("dhcp server", data)?),
            option::PARAMETERS if self.parameters.is_empty() => self.parameters = data,
            option::MESSAGE => first(&mut self.message, data),
            option::RENEWAL_TIME => first(&mut self.renewal_s, word("dhcp renewal time", data)?),
            option::REBINDING_TIME => first(&mut self.rebinding_s, word("dhcp rebinding time", data)?),
            option::CLIENT_ID => first(&mut self.client_id, data),
            _ => {}
        }
        Ok(())
    }

    /// Bytes [`Repr::emit`] writes, options and padding included.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        let mut writer = Writer { area: &mut [], at: HEADER_LEN };
        self.options(&mut writer);
        (writer.at + 1).max(MESSAGE_LEN_MIN)
    }

    /// Writes the message into the first [`Repr::buffer_len`] bytes; those behind become fillers.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        data.fill(0);
        data[field::OPERATION] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put16(&mut data[field::HARDWARE], ETHERNET);
        data[field::HOPS] = self.hops;
        put32(&mut data[field::TRANSACTION], self.transaction);
        put16(&mut data[field::SECONDS], self.seconds);
        put16(&mut data[field::FLAGS], if self.broadcast { BROADCAST } else { 0 });
        data[field::CLIENT_IP].copy_from_slice(&self.client_ip.octets());
        data[field::YOUR_IP].copy_from_slice(&self.your_ip.octets());
        data[field::NEXT_SERVER].copy_from_slice(&self.next_server.octets());
        data[field::RELAY_IP].copy_from_slice(&self.relay_ip.octets());
        data[field::CLIENT_MAC].copy_from_slice(&self.client_mac.0);
        put32(&mut data[field::COOKIE], COOKIE);
        let mut writer = Writer { area: data, at: HEADER_LEN };
        self.options(&mut writer);
        writer.area[writer.at] = option::END;
    }

    fn options(&self, writer: &mut Writer<'_>) {
        writer.put(option::MESSAGE_TYPE, &[self.kind.0]);
        writer.ip(option::REQUESTED_IP, self.requested_ip);
        writer.ip(option::SERVER, self.server);
        writer.word(option::LEASE_TIME, self.lease_s);
        writer.word(option::RENEWAL_TIME, self.renewal_s);
        writer.word(option::REBINDING_TIME, self.rebinding_s);
        writer.ip(option::SUBNET_MASK, self.subnet_mask);
        writer.ip(option::BROADCAST_ADDRESS, self.broadcast_address);
        if let Some(mtu) = self.mtu {
            writer.put(option::MTU, &mtu.to_be_bytes());
        }
        writer.ips(option::ROUTERS, &self.routers);
        writer.ips(option::NAME_SERVERS, &self.name_servers);
        writer.bytes(option::DOMAIN_NAME, self.domain_name);
        writer.bytes(option::HOST_NAME, self.host_name);
        writer.bytes(option::CLIENT_ID, self.client_id);
        writer.bytes(option::PARAMETERS, Some(self.parameters).filter(|wanted| !wanted.is_empty()));
        writer.bytes(option::MESSAGE, self.message);
    }
}

/// Writes options, or without an area counts their bytes.
struct Writer<'a> {
    area: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, number: u8, data: &[u8]) {
        let data = span(data, 0, OPTION_LEN_MAX);
        let end = self.at + 2 + data.len();
        if !self.area.is_empty() {
            self.area[self.at..self.at + 2].copy_from_slice(&[number, data.len() as u8]);
            self.area[self.at + 2..end].copy_from_slice(data);
        }
        self.at = end;
    }

    fn bytes(&mut self, number: u8, data: Option<&[u8]>) {
        if let Some(data) = data {
            self.put(number, data);
        }
    }

    fn ip(&mut self, number: u8, address: Option<Ipv4Addr>) {
        self.bytes(number, address.map(|address| address.octets()).as_ref().map(<[u8; 4]>::as_slice));
    }

    fn word(&mut self, number: u8, value: Option<u32>) {
        self.bytes(number, value.map(u32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
    }

    fn ips(&mut self, number: u8, addresses: &Addresses) {
        let octets: ArrayVec<u8, { 4 * ADDRESSES_MAX }> =
            addresses.iter().flat_map(Ipv4Addr::octets).collect();
        self.bytes(number, Some(&octets[..]).filter(|octets| !octets.is_empty()));
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preposition = match self.operation {
            Operation::Request => "from",
            Operation::Reply => "to",
        };
        write!(f, "DHCP {} xid 0x{:x} {preposition} {}", self.kind, self.transaction, self.client_mac)?;
        let some = |address: Ipv4Addr| Some(address).filter(|address| !address.is_unspecified());
        for (what, address) in [
            ("client address", some(self.client_ip)),
            ("your address", some(self.your_ip)),
            ("relay", some(self.relay_ip)),
            ("requested address", self.requested_ip),
            ("server", self.server),
            ("mask", self.subnet_mask),
            ("router", self.routers.first().copied()),
            ("name server", self.name_servers.first().copied()),
        ] {
            if let Some(address) = address {
                write!(f, ", {what} {address}")?;
            }
        }
        if let Some(lease_s) = self.lease_s {
            write!(f, ", lease {lease_s}s")?;
        }
        for (what, text) in [("host name", self.host_name), ("message", self.message)] {
            if let Some(text) = text {
                write!(f, ", {what} \"{}\"", text.escape_ascii())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn written(repr: &Repr<'_>) -> Vec<u8> {
        let mut bytes = vec![0xee; repr.buffer_len()];
        repr.emit(&mut View::new_unchecked(&mut bytes[..]));
        bytes
    }

    #[test]
    fn both_directions_read_back() {
        let discover = Repr { host_name: Some(b"h1"), ..Repr::discover(0xbeef, MAC) };
        let bytes = written(&discover);
        assert_eq!(bytes.len(), MESSAGE_LEN_MIN);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view).unwrap(), discover);
        assert_eq!(
            view.to_string(),
            "BOOTP/DHCP, Request from 02:00:00:00:00:01, length 300: \
             DHCP Discover xid 0xbeef from 02:00:00:00:00:01, host name \"h1\""
        );
        let mut ack = discover.reply(MessageType::ACK, [10, 0, 0, 9].into(), [10, 0, 0, 1].into());
        ack.lease_s = Some(3600);
        ack.renewal_s = Some(1800);
        ack.rebinding_s = Some(3150);
        ack.subnet_mask = Some([255, 255, 255, 0].into());
        ack.broadcast_address = Some([10, 0, 0, 255].into());
        ack.mtu = Some(1400);
        ack.routers.push([10, 0, 0, 1].into());
        ack.name_servers.extend([[10, 0, 0, 2].into(), [10, 0, 0, 3].into()]);
        ack.domain_name = Some(b"weft");
        ack.client_id = Some(&[1, 2, 0, 0, 0, 0, 1]);
        ack.message = Some(b"hello");
        let bytes = written(&ack);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view).unwrap(), ack);
        assert_eq!(view.option(option::NAME_SERVERS), Some(&[10, 0, 0, 2, 10, 0, 0, 3][..]));
    }

    #[test]
    fn options_lie_in_file_and_server_name_where_option_52_says_so() {
        let mut bytes = vec![0; HEADER_LEN];
        Repr::discover(1, MAC).emit(&mut View::new_unchecked(&mut [0; 300][..]));
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[field::COOKIE].copy_from_slice(&COOKIE.to_be_bytes());
        bytes[field::FILE][..4].copy_from_slice(&[option::MESSAGE_TYPE, 1, 3, option::END]);
        bytes[field::SERVER_NAME][..4].copy_from_slice(&[option::HOST_NAME, 1, b'a', option::END]);
        let kinds = |bytes: &[u8]| -> Vec<u8> {
            View::new_checked(bytes).unwrap().options().map(|option| option.unwrap().0).collect()
        };
        for (which, expected) in [(0, &[52][..]), (1, &[52, 53]), (2, &[52, 12]), (3, &[52, 53, 12])] {
            let with = [&bytes[..], &[option::OVERLOAD, 1, which, option::END]].concat();
            assert_eq!(kinds(&with), expected, "{which}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let with = |options: &[u8]| {
            let mut bytes = written(&Repr::discover(1, MAC));
            bytes.truncate(HEADER_LEN);
            bytes.extend(options);
            Repr::parse(&View::new_checked(&bytes[..]).unwrap()).map(|repr| repr.kind)
        };
        assert_eq!(with(&[53, 1, 3]), Ok(MessageType::REQUEST));
        assert_eq!(with(&[53, 2, 3]), Err(WireError::Truncated { what: "dhcp option", need: 4, have: 3 }));
        assert_eq!(with(&[53]), Err(WireError::Truncated { what: "dhcp option", need: 2, have: 1 }));
        assert_eq!(with(&[53, 0]), Err(WireError::BadLength { what: "dhcp message type", value: 0 }));
        assert_eq!(
            with(&[53, 1, 3, 50, 3, 1, 2, 3]),
            Err(WireError::BadLength { what: "dhcp requested address", value: 3 })
        );
        assert_eq!(
            with(&[53, 1, 3, 6, 5, 1, 2, 3, 4, 5]),
            Err(WireError::BadLength { what: "dhcp name servers", value: 5 })
        );
        assert_eq!(with(&[]), Err(WireError::BadValue { what: "dhcp message type", value: 0 }));
        let many = [200, 0].repeat(OPTIONS_MAX + 1);
        assert_eq!(with(&many), Err(WireError::TooMany { what: "dhcp options", limit: OPTIONS_MAX }));
    }

    #[test]
    fn what_is_not_dhcp_over_ethernet_is_refused_and_named() {
        let good = written(&Repr::discover(1, MAC));
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            View::new_checked(bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(0, 3), WireError::BadValue { what: "dhcp operation", value: 3 });
        assert_eq!(with(2, 8), WireError::BadValue { what: "dhcp hardware type and length", value: 0x0108 });
        assert_eq!(with(239, 0), WireError::BadValue { what: "dhcp cookie", value: 0x6382_5300 });
        assert!(View::new_checked(&good[..HEADER_LEN - 1]).is_err());
    }

    #[test]
    fn data_that_is_too_long_is_cut_and_the_rest_stands() {
        let long = [b'x'; 300];
        let repr = Repr { message: Some(&long), ..Repr::discover(1, MAC) };
        let bytes = written(&repr);
        let view = View::new_checked(&bytes[..]).unwrap();
        let read = Repr::parse(&view).unwrap();
        assert_eq!(read.message, Some(&long[..OPTION_LEN_MAX]));
        assert_eq!(read.parameters, repr.parameters);
    }
}
