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
