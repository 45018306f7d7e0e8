//! Numbers of options (IANA bootp-dhcp-parameters).

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
