//! Names that stand for numbers.

use super::primitive::{TCP, UDP};

/// Offsets and values for arithmetic: the fields and types of ICMP, the flags of TCP.
const CONSTANTS: &[(&str, u32)] = &[
    ("icmptype", 0),
    ("icmpcode", 1),
    ("icmp-echoreply", 0),
    ("icmp-unreach", 3),
    ("icmp-sourcequench", 4),
    ("icmp-redirect", 5),
    ("icmp-echo", 8),
    ("icmp-routeradvert", 9),
    ("icmp-routersolicit", 10),
    ("icmp-timxceed", 11),
    ("icmp-paramprob", 12),
    ("icmp-tstamp", 13),
    ("icmp-tstampreply", 14),
    ("icmp-ireq", 15),
    ("icmp-ireqreply", 16),
    ("icmp-maskreq", 17),
    ("icmp-maskreply", 18),
    ("icmp6type", 0),
    ("icmp6code", 1),
    ("icmp6-destinationunreach", 1),
    ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3),
    ("icmp6-parameterproblem", 4),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-multicastlistenerquery", 130),
    ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerdone", 132),
    ("icmp6-routersolicit", 133),
    ("icmp6-routeradvert", 134),
    ("icmp6-neighborsolicit", 135),
    ("icmp6-neighboradvert", 136),
    ("icmp6-redirect", 137),
    ("tcpflags", 13),
    ("tcp-fin", 1),
    ("tcp-syn", 2),
    ("tcp-rst", 4),
    ("tcp-push", 8),
    ("tcp-ack", 0x10),
    ("tcp-urg", 0x20),
    ("tcp-ece", 0x40),
    ("tcp-cwr", 0x80),
];

/// IANA's protocol numbers, by the names of `/etc/protocols`.
const PROTOCOLS: &[(&str, u32)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("igrp", 9),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmp6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// EtherTypes.
const ETHERTYPES: &[(&str, u32)] = &[
    ("ip", 0x0800),
    ("arp", 0x0806),
    ("rarp", 0x8035),
    ("ip6", 0x86dd),
    ("atalk", 0x809b),
    ("aarp", 0x80f3),
    ("loopback", 0x9000),
];

/// Well-known ports, and the protocol if it is only one, as in Debian's `/etc/services`.
const SERVICES: &[(&str, u32, Option<u32>)] = &[
    ("ftp-data", 20, Some(TCP)),
    ("ftp", 21, Some(TCP)),
    ("ssh", 22, Some(TCP)),
    ("telnet", 23, Some(TCP)),
    ("smtp", 25, Some(TCP)),
    ("domain", 53, None),
    ("bootps", 67, Some(UDP)),
    ("bootpc", 68, Some(UDP)),
    ("tftp", 69, Some(UDP)),
    ("http", 80, Some(TCP)),
    ("kerberos", 88, None),
    ("pop3", 110, Some(TCP)),
    ("sunrpc", 111, None),
    ("ntp", 123, Some(UDP)),
    ("imap2", 143, Some(TCP)),
    ("snmp", 161, None),
    ("snmp-trap", 162, None),
    ("bgp", 179, Some(TCP)),
    ("ldap", 389, None),
    ("https", 443, None),
    ("microsoft-ds", 445, Some(TCP)),
    ("isakmp", 500, Some(UDP)),
    ("syslog", 514, Some(UDP)),
    ("imaps", 993, Some(TCP)),
    ("pop3s", 995, Some(TCP)),
    ("radius", 1812, None),
    ("nfs", 2049, None),
    ("mysql", 3306, Some(TCP)),
    ("postgresql", 5432, Some(TCP)),
];

fn find(names: &[(&str, u32)], name: &str) -> Option<u32> {
    names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

pub(super) fn constant(name: &str) -> Option<u32> {
    find(CONSTANTS, name)
}

pub(super) fn protocol(name: &str) -> Option<u32> {
    find(PROTOCOLS, name)
}

pub(super) fn ethertype(name: &str) -> Option<u32> {
    find(ETHERTYPES, name)
}

/// The port of a service, and its protocol if it has only one.
pub(super) fn service(name: &str) -> Option<(u32, Option<u32>)> {
    SERVICES.iter().find(|(known, _, _)| *known == name).map(|&(_, port, protocol)| (port, protocol))
}
