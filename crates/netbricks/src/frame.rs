//! A packet with the headers that have been parsed on it, in its type.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::WireError;
use packet::{Checksum, NoRoom, Offload, OpenPacket, Packet, PortId};

use crate::cause::Cause;
use crate::header::{Follows, Header, Push, Wire};
use crate::operator::Step;

/// No header parsed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

/// A header of kind `H`, parsed on top of `Below`.
pub struct Layer<H, Below> {
    below: Below,
    start: u32,
    payload: u32,
    end: u32,
    kind: PhantomData<fn() -> H>,
}

impl<H, Below: Copy> Clone for Layer<H, Below> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H, Below: Copy> Copy for Layer<H, Below> {}

impl<H: Header, Below: fmt::Debug> fmt::Debug for Layer<H, Below> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}@{}..{}", self.below, H::NAME, self.start, self.end)
    }
}

/// The headers parsed so far, as a type: `Layer<Udp, Layer<Ipv4, Layer<Ethernet, Raw>>>`.
///
/// Offsets count from the packet's first byte. `start ≤ payload ≤ end ≤ length` holds in every layer, and each lies
/// within the payload of the one below.
pub trait Stack: Copy + fmt::Debug {
    /// The header on top.
    type Top: Header;

    /// Where the top header starts, its payload starts, and its payload ends, in a packet of `len` bytes.
    #[doc(hidden)]
    fn place(&self, len: usize) -> (usize, usize, usize);

    /// Makes every layer end at `end`.
    #[doc(hidden)]
    fn end_at(&mut self, end: u32);

    /// The addresses of the nearest IP header.
    #[doc(hidden)]
    fn hosts(&self, data: &[u8]) -> Option<(IpAddr, IpAddr)>;

    /// Makes lengths and checksums true, from the top down.
    #[doc(hidden)]
    fn reconcile(&self, data: &mut [u8]);
}

impl Stack for Raw {
    type Top = Wire;

    #[inline(always)]
    fn place(&self, len: usize) -> (usize, usize, usize) {
        (0, 0, len)
    }

    fn end_at(&mut self, _: u32) {}

    fn hosts(&self, _: &[u8]) -> Option<(IpAddr, IpAddr)> {
        None
    }

    fn reconcile(&self, _: &mut [u8]) {}
}

impl<H: Header, Below: Stack> Stack for Layer<H, Below> {
    type Top = H;

    #[inline(always)]
    fn place(&self, _: usize) -> (usize, usize, usize) {
        (self.start as usize, self.payload as usize, self.end as usize)
    }

    fn end_at(&mut self, end: u32) {
        self.end = end;
        self.below.end_at(end);
    }

    fn hosts(&self, data: &[u8]) -> Option<(IpAddr, IpAddr)> {
        H::hosts(&data[self.start as usize..self.end as usize]).or_else(|| self.below.hosts(data))
    }

    fn reconcile(&self, data: &mut [u8]) {
        let hosts = self.below.hosts(data);
        H::reconcile(&mut data[self.start as usize..self.end as usize], hosts);
        self.below.reconcile(data);
    }
}

/// The header is the top one. See [`Find`].
#[derive(Debug)]
pub enum Here {}

/// The header is below the top one. See [`Find`].
#[derive(Debug)]
pub struct Under<At>(PhantomData<At>);

/// A stack that has a header of kind `H`; `At` says where, and is always inferred.
#[diagnostic::on_unimplemented(message = "no `{H}` header has been parsed here")]
pub trait Find<H, At> {
    #[doc(hidden)]
    fn find(&self) -> (usize, usize);
}

impl<H: Header, Below> Find<H, Here> for Layer<H, Below> {
    #[inline(always)]
    fn find(&self) -> (usize, usize) {
        (self.start as usize, self.end as usize)
    }
}

impl<H, Top, Below: Find<H, At>, At> Find<H, Under<At>> for Layer<Top, Below> {
    #[inline(always)]
    fn find(&self) -> (usize, usize) {
        self.below.find()
    }
}

/// A packet, its one owner, with the headers parsed so far and a value of the program's own beside it.
///
/// Parsing validates a header's lengths once; what is then read through [`header`](Frame::header) cannot fail. Moving a
/// frame on gives it away: nothing can touch a packet after it has been sent. A header that cannot follow the one below
/// does not compile.
///
/// ```
/// use netbricks::Frame;
/// use netbricks::header::{Ethernet, Ipv4, Udp};
/// # use packet::{Pool, PoolConfig};
/// # let pool = Pool::new(PoolConfig { buffers: 1, ..PoolConfig::default() }).unwrap();
/// # let packet = pool.packet(&[
/// #     2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10,
/// #     0, 0, 2, 0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i']).unwrap();
/// # fn run(packet: packet::Packet) -> netbricks::Step<()> {
/// let mut datagram = Frame::new(packet).parse::<Ethernet>()?.parse::<Ipv4>()?.parse::<Udp>()?;
/// assert_eq!(datagram.header().destination_port(), 53);
/// assert_eq!(datagram.layer::<Ipv4, _>().ttl(), 64);
/// assert_eq!(datagram.payload(), b"hi");
///
/// datagram.resize_payload(5)?;
/// datagram.payload_mut().copy_from_slice(b"hello");
/// datagram.reconcile(); // lengths and checksums
/// assert_eq!(datagram.deparse().header().total_len(), 33);
/// # Ok(()) }
/// # run(packet).unwrap();
/// ```
pub struct Frame<S = Raw, M = ()> {
    packet: OpenPacket,
    stack: S,
    meta: M,
}

impl Frame {
    /// A packet on which nothing has been parsed.
    #[inline(always)]
    #[must_use]
    pub fn new(packet: Packet) -> Self {
        Self { packet: OpenPacket::new(packet), stack: Raw, meta: () }
    }
}

impl<S: Stack, M> Frame<S, M> {
    /// Parses the next header.
    ///
    /// # Errors
    /// The header below announces something else, or the header is malformed. The packet is gone; the cause says why.
    #[inline(always)]
    pub fn parse<H: Follows<S::Top>>(self) -> Step<Frame<Layer<H, S>, M>> {
        let (start, payload, end) = self.stack.place(self.packet.len());
        let data = self.packet.data();
        if !H::follows(&<S::Top as Header>::view(&data[start..end])) {
            return Err(Cause { kind: "not", what: H::NAME }.into());
        }
        let extent = H::measure(&data[payload..end]).map_err(Cause::from)?;
        let layer = Layer {
            below: self.stack,
            start: payload as u32,
            payload: (payload + extent.header) as u32,
            end: (payload + extent.end) as u32,
            kind: PhantomData,
        };
        Ok(Frame { packet: self.packet, stack: layer, meta: self.meta })
    }

    /// Forgets all that was parsed.
    #[inline(always)]
    #[must_use]
    pub fn reset(self) -> Frame<Raw, M> {
        Frame { packet: self.packet, stack: Raw, meta: self.meta }
    }

    /// The header on top.
    #[inline(always)]
    #[must_use]
    pub fn header(&self) -> <S::Top as Header>::View<'_> {
        let (start, _, end) = self.stack.place(self.packet.len());
        S::Top::view(&self.packet.data()[start..end])
    }

    /// The header on top, to change. Setters of addresses and ports leave checksums as they are unless they say
    /// otherwise; [`reconcile`](Self::reconcile) makes all of them right.
    #[inline(always)]
    #[must_use]
    pub fn header_mut(&mut self) -> <S::Top as Header>::ViewMut<'_> {
        let (start, _, end) = self.stack.place(self.packet.len());
        S::Top::view_mut(&mut self.packet.data_mut()[start..end])
    }

    /// A header further down: `frame.layer::<Ethernet, _>()`. One that has been parsed twice (a tunnel's inside and
    /// outside) is ambiguous; [`deparse`](Frame::deparse) to the lower one.
    #[inline(always)]
    #[must_use]
    pub fn layer<H: Header, At>(&self) -> H::View<'_>
    where
        S: Find<H, At>,
    {
        let (start, end) = self.stack.find();
        H::view(&self.packet.data()[start..end])
    }

    /// A header further down, to change.
    #[inline(always)]
    #[must_use]
    pub fn layer_mut<H: Header, At>(&mut self) -> H::ViewMut<'_>
    where
        S: Find<H, At>,
    {
        let (start, end) = self.stack.find();
        H::view_mut(&mut self.packet.data_mut()[start..end])
    }

    /// What the top header carries, without padding.
    #[inline(always)]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let (_, payload, end) = self.stack.place(self.packet.len());
        &self.packet.data()[payload..end]
    }

    /// What the top header carries, to change.
    #[inline(always)]
    #[must_use]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (_, payload, end) = self.stack.place(self.packet.len());
        &mut self.packet.data_mut()[payload..end]
    }

    /// Makes the payload `len` bytes long, at its end: what it adds is zero, padding behind it is gone. Lengths and
    /// checksums in the headers stay as they were until [`reconcile`](Self::reconcile).
    ///
    /// # Errors
    /// The buffer ends before.
    pub fn resize_payload(&mut self, len: usize) -> Result<(), NoRoom> {
        let (_, payload, end) = self.stack.place(self.packet.len());
        self.packet.truncate(end);
        // Also when it fails below: the padding is gone from all layers.
        self.stack.end_at(end as u32);
        let wanted = payload.saturating_add(len);
        match wanted.checked_sub(end) {
            Some(more) => self.packet.append(more)?.fill(0),
            None => self.packet.truncate(wanted),
        }
        self.stack.end_at(wanted as u32);
        Ok(())
    }

    /// Cuts `count` bytes from the payload's front, or as many as it has.
    pub fn trim_payload_front(&mut self, count: usize) {
        let (_, payload, end) = self.stack.place(self.packet.len());
        let count = count.min(end - payload);
        self.packet.data_mut().copy_within(payload + count..end, payload);
        let _shorter = self.resize_payload(end - payload - count);
    }

    /// Makes lengths and checksums of all parsed headers true of the bytes, from the top header down. A checksum that was
    /// left to the last hop is computed here, and nothing is left to it any more.
    pub fn reconcile(&mut self) {
        self.stack.reconcile(self.packet.data_mut());
        self.packet.edit(|packet| {
            let mut offload = packet.offload();
            offload.checksum = Checksum::Unknown;
            packet.set_offload(offload);
        });
    }

    /// Writes a new header on top, between the top one and its payload, and makes the one below announce it.
    ///
    /// # Errors
    /// The buffer has no headroom left for it. The packet is gone.
    pub fn push<H: Push + Follows<S::Top>>(mut self, repr: &H::Repr) -> Step<Frame<Layer<H, S>, M>> {
        let (start, payload, end) = self.stack.place(self.packet.len());
        let length = H::length(repr);
        self.packet.prepend(length).map_err(Cause::from)?;
        self.front_moved(payload, length as isize);
        // Headers below move to the new front, so their offsets stay as they are.
        self.packet.data_mut().copy_within(length..length + payload, 0);
        let end = end + length;
        self.stack.end_at(end as u32);
        let data = self.packet.data_mut();
        H::emit(repr, &mut data[payload..end]);
        H::announce(&mut S::Top::view_mut(&mut data[start..end]));
        let (start, payload) = (payload as u32, (payload + length) as u32);
        let layer = Layer { below: self.stack, start, payload, end: end as u32, kind: PhantomData };
        Ok(Frame { packet: self.packet, stack: layer, meta: self.meta })
    }

    /// Keeps a partial checksum, whose place counts from the packet's front, where it was: `by` bytes came in at `at`.
    fn front_moved(&mut self, at: usize, by: isize) {
        let offload = self.packet.offload();
        let Checksum::Partial { start, offset } = offload.checksum else { return };
        if usize::from(start) >= at {
            let start = usize::from(start).checked_add_signed(by).and_then(|start| u16::try_from(start).ok());
            // One that lay in what was taken out, or would lie beyond what can be said, is nobody's any more.
            let checksum = start.map_or(Checksum::Unknown, |start| Checksum::Partial { start, offset });
            self.packet.edit(|packet| packet.set_offload(Offload { checksum, ..offload }));
        }
    }

    /// Gives the frame a value to carry.
    #[inline(always)]
    pub fn with_meta<N>(self, meta: N) -> Frame<S, N> {
        Frame { packet: self.packet, stack: self.stack, meta }
    }

    /// The value it carries.
    #[inline(always)]
    pub fn meta(&self) -> &M {
        &self.meta
    }

    /// The value it carries, to change.
    #[inline(always)]
    pub fn meta_mut(&mut self) -> &mut M {
        &mut self.meta
    }

    /// The packet, to read: length, ingress port, time stamp, metadata area.
    #[inline(always)]
    #[must_use]
    pub fn packet(&self) -> &Packet {
        &self.packet
    }

    /// All bytes.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.packet.data()
    }

    /// Says which port it shall leave by.
    pub fn set_egress(&mut self, port: PortId) {
        self.packet.edit(|packet| packet.set_egress(port));
    }

    /// Where all its layers are, in one pass from the front, whatever has been parsed.
    ///
    /// # Errors
    /// A malformed header.
    #[inline(always)]
    pub fn layers(&self) -> Result<Layers, WireError> {
        Layers::of(self.packet.data())
    }

    /// Its flow; `None` where it has none: not IP, malformed, a later fragment.
    #[must_use]
    pub fn flow_key(&self) -> Option<FlowKey> {
        FlowKey::of(&self.layers().ok()?, self.packet.data())
    }

    /// The packet back.
    #[inline(always)]
    #[must_use]
    pub fn into_packet(self) -> Packet {
        self.packet.close()
    }
}

impl<H: Header, Below: Stack, M> Frame<Layer<H, Below>, M> {
    /// Goes back to the header below.
    #[inline(always)]
    #[must_use]
    pub fn deparse(self) -> Frame<Below, M> {
        Frame { packet: self.packet, stack: self.stack.below, meta: self.meta }
    }

    /// Takes the top header out of the packet. What the header below announces is the caller's to set.
    #[must_use]
    pub fn remove(mut self) -> Frame<Below, M> {
        let (start, payload, end) = self.stack.place(self.packet.len());
        let length = payload - start;
        self.packet.data_mut().copy_within(..start, length);
        self.packet.trim_front(length);
        self.front_moved(payload, -(length as isize));
        let mut below = self.stack.below;
        below.end_at((end - length) as u32);
        Frame { packet: self.packet, stack: below, meta: self.meta }
    }
}

impl<S: Stack, M: fmt::Debug> fmt::Debug for Frame<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("stack", &self.stack)
            .field("len", &self.packet.len())
            .field("meta", &self.meta)
            .finish()
    }
}
