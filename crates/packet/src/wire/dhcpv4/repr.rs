//! What a message says, and how that is written.

use std::fmt;
use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::super::{MacAddr, WireError, array, put16, put32, span};
use super::{
    ADDRESSES_MAX, BROADCAST, COOKIE, ETHERNET, HEADER_LEN, MESSAGE_LEN_MIN, MessageType, OPTION_LEN_MAX,
    Operation, View, field, option,
};

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
