//! One version's messages in the words of the other, and what cannot be said there.

use std::net::Ipv4Addr;

use openflow::action::Action;
use openflow::codec::{self, EncodeError};
use openflow::field::Field;
use openflow::flow::{FlowMod, FlowRemoved, NO_BUFFER, PacketOut, RemovedReason};
use openflow::group::{Bucket, GroupCommand, GroupKind, GroupMod};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message, PortMod};
use openflow::multipart::{FlowRequest, MultipartRequest, Request};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::{Version, nicira};
use packet::wire::MacAddr;

/// What the other end reads of a body sent in that version.
fn sent(version: Version, body: Body) -> Result<Body, EncodeError> {
    let mut bytes = Vec::new();
    codec::encode(version, &Message::new(7, body), &mut bytes)?;
    let (read, message) = codec::decode(&bytes).expect("what was written can be read");
    assert_eq!((read, message.xid), (version, 7));
    Ok(message.body)
}

/// What cannot be said.
fn unsayable(version: Version, body: Body) -> String {
    match sent(version, body) {
        Err(error @ EncodeError::Unsayable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn flow(matching: Match, actions: Vec<Action>) -> Body {
    let instructions = vec![Instruction::ApplyActions(actions)];
    Body::FlowMod(FlowMod { matching, instructions, ..FlowMod::default() })
}

/// The actions that a flow-mod of that match arrives with.
fn actions(version: Version, matching: &Match, actions: Vec<Action>) -> Result<Vec<Action>, EncodeError> {
    match sent(version, flow(matching.clone(), actions))? {
        Body::FlowMod(FlowMod { mut instructions, .. }) => match instructions.pop() {
            Some(Instruction::ApplyActions(actions)) => Ok(actions),
            None => Ok(vec![]),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn set(field: Field, value: u128) -> Action {
    Action::SetField(Oxm::exact(field, value))
}

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MAC_VALUE: u128 = 0x0200_0000_0001;

#[test]
fn fields_are_set_in_either_version_s_words() {
    let tcp = Match::new().vlan_vid(5).tcp_dst(80);
    for (old, new) in [
        (Action::SetDlSrc(MAC), set(Field::EthSrc, MAC_VALUE)),
        (Action::SetDlDst(MAC), set(Field::EthDst, MAC_VALUE)),
        (Action::SetVlanVid(6), set(Field::VlanVid, 0x1006)),
        (Action::SetVlanPcp(3), set(Field::VlanPcp, 3)),
        (Action::StripVlan, Action::PopVlan),
        (Action::SetNwSrc(Ipv4Addr::new(10, 0, 0, 1)), set(Field::Ipv4Src, 0x0a00_0001)),
        (Action::SetNwDst(Ipv4Addr::new(10, 0, 0, 2)), set(Field::Ipv4Dst, 0x0a00_0002)),
        (Action::SetNwTos(0x28), set(Field::IpDscp, 10)),
        (Action::SetTpSrc(1), set(Field::TcpSrc, 1)),
        (Action::SetTpDst(2), set(Field::TcpDst, 2)),
        (Action::output(PortNo::FLOOD), Action::output(PortNo::FLOOD)),
    ] {
        for form in Version::ALL {
            let tcp = tcp.for_version(form);
            assert_eq!(actions(Version::V13, &tcp, vec![old.clone()]), Ok(vec![new.clone()]));
            assert_eq!(actions(Version::V10, &tcp, vec![new.clone()]), Ok(vec![old.clone()]));
        }
    }
    let udp = Match::new().udp_src(53);
    assert_eq!(actions(Version::V13, &udp, vec![Action::SetTpSrc(9)]), Ok(vec![set(Field::UdpSrc, 9)]));
    let ip = Match::new().ipv4();
    let error = unsayable(Version::V13, flow(ip, vec![Action::SetTpSrc(9)]));
    assert_eq!(error, "OF1.3 cannot say a port set where the protocol is not known");
}

#[test]
fn tags_are_pushed_only_where_the_match_tells_that_there_is_none() {
    let push = vec![Action::PushVlan(0x8100), set(Field::VlanVid, 0x1006)];
    let untagged = Match::new().untagged();
    assert_eq!(actions(Version::V10, &untagged, push.clone()), Ok(vec![Action::SetVlanVid(6)]));
    assert_eq!(actions(Version::V13, &untagged, vec![Action::SetVlanVid(6)]), Ok(push.clone()));
    let pcp = vec![Action::PushVlan(0x8100), set(Field::VlanVid, 0x1000), set(Field::VlanPcp, 3)];
    assert_eq!(actions(Version::V13, &untagged, vec![Action::SetVlanPcp(3)]), Ok(pcp));
    // The first action adds the tag that the second one sets.
    let both = vec![Action::SetVlanVid(6), Action::SetVlanPcp(3)];
    let pushed = vec![push[0].clone(), push[1].clone(), set(Field::VlanPcp, 3)];
    assert_eq!(actions(Version::V13, &untagged, both.clone()), Ok(pushed.clone()));
    assert_eq!(actions(Version::V10, &untagged, pushed), Ok(both));
    // Nothing to strip: 1.0 does nothing, 1.3 refuses.
    let strip = vec![Action::StripVlan, Action::output(PortNo(1))];
    assert_eq!(actions(Version::V13, &untagged, strip), Ok(vec![Action::output(PortNo(1))]));
    let any = Match::new().in_port(PortNo(1));
    let error = unsayable(Version::V13, flow(any.clone(), vec![Action::SetVlanVid(6)]));
    assert_eq!(error, "OF1.3 cannot say a VLAN tag set where there may be none");
    let error = unsayable(Version::V10, flow(any, push.clone()));
    assert_eq!(error, "OF1.0 cannot say a VLAN tag pushed where there may be one already");
    let error = unsayable(Version::V10, flow(Match::new().vlan_vid(5), push));
    assert_eq!(error, "OF1.0 cannot say a VLAN tag pushed where there may be one already");
}

#[test]
fn a_packet_tells_whether_it_has_a_tag_and_ports() {
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    // UDP over IPv4.
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 53, 0, 53, 0, 8, 0, 0]);
    let packet = |actions, data: &[u8]| {
        Body::PacketOut(PacketOut {
            buffer: NO_BUFFER,
            in_port: PortNo::CONTROLLER,
            actions,
            data: data.to_vec(),
        })
    };
    let old = vec![Action::SetTpSrc(9), Action::SetVlanVid(6), Action::output(PortNo(1))];
    let Ok(Body::PacketOut(read)) = sent(Version::V13, packet(old.clone(), &frame)) else { panic!() };
    let push = [Action::PushVlan(0x8100), set(Field::VlanVid, 0x1006)];
    let [first, second] = push;
    assert_eq!(read.actions, [set(Field::UdpSrc, 9), first, second, Action::output(PortNo(1))]);
    assert_eq!(read.data, frame);
    let error = unsayable(Version::V13, packet(old, &[]));
    assert_eq!(error, "OF1.3 cannot say a port set where the protocol is not known");
}

#[test]
fn queues_are_chosen_and_left_again() {
    let any = Match::new();
    let enqueue = Action::Enqueue { port: PortNo(1), queue: 7 };
    let chosen = vec![Action::SetQueue(7), Action::output(PortNo(1))];
    assert_eq!(actions(Version::V13, &any, vec![enqueue.clone()]), Ok(chosen.clone()));
    let mut left = chosen;
    left.extend([Action::Nicira(nicira::Action::PopQueue), Action::output(PortNo(2))]);
    assert_eq!(actions(Version::V13, &any, vec![enqueue, Action::output(PortNo(2))]), Ok(left));
    let queue = actions(Version::V10, &any, vec![Action::SetQueue(7)]);
    assert_eq!(queue, Ok(vec![Action::Nicira(nicira::Action::SetQueue(7))]));
}

#[test]
fn nicira_s_actions_stand_in_where_they_are_the_same() {
    use nicira::Action as A;
    let mpls = Match::new().mpls_label(3);
    for (new, old) in [
        (Action::DecNwTtl, A::DecTtl),
        (Action::PushMpls(0x8847), A::PushMpls(0x8847)),
        (Action::PopMpls(0x0800), A::PopMpls(0x0800)),
        (Action::DecMplsTtl, A::DecMplsTtl),
        (Action::SetMplsTtl(5), A::SetMplsTtl(5)),
        (set(Field::MplsLabel, 9), A::SetMplsLabel(9)),
        (set(Field::MplsTc, 1), A::SetMplsTc(1)),
        (set(Field::TunnelId, 9), A::SetTunnel64(9)),
        (
            set(Field::Reg0, 9),
            A::RegLoad {
                destination: nicira::Subfield { header: 0x0001_0004, offset: 0, bits: 32 },
                value: 9,
            },
        ),
    ] {
        assert_eq!(actions(Version::V10, &mpls, vec![new]), Ok(vec![Action::Nicira(old)]));
    }
    for (action, what) in [
        (Action::Group(1), "a group"),
        (Action::CopyTtlIn, "copying the TTL"),
        (Action::PushPbb(0x88e7), "PBB headers"),
        (Action::PushVlan(0x88a8), "a VLAN tag of another EtherType than 0x8100"),
        (set(Field::Ipv6Src, 1), "setting ipv6_src"),
    ] {
        let error = unsayable(Version::V10, flow(Match::new(), vec![action]));
        assert_eq!(error, format!("OF1.0 cannot say {what}"));
    }
}

#[test]
fn matches_mean_the_same_in_either_form() {
    let address = Ipv4Addr::new(10, 0, 0, 1);
    for matching in [
        Match::new(),
        Match::new().in_port(PortNo(1)).eth_src(MAC).eth_dst(MAC),
        Match::new().untagged(),
        Match::new().vlan_vid(5),
        Match::new().vlan_vid(5).vlan_pcp(3),
        Match::new().any_vlan().vlan_pcp(3),
        Match::new().arp().arp_op(1).arp_spa(address).arp_tpa(address),
        Match::new().ipv4_src(address).ip_dscp(10),
        Match::new().ipv4_dst_masked(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(255, 0, 0, 0)),
        Match::new().tcp_src(1).tcp_dst(2),
        Match::new().udp_dst(2),
        Match::new().icmpv4_type(8).icmpv4_code(0),
        Match::new().icmpv6_type(135),
        Match::new().eth_type(0x86dd).ip_proto(6).tcp_dst(80),
        Match::new().lldp(),
    ] {
        let v10 = matching.for_version(Version::V10);
        assert!(matches!(v10, Match::V10(_)) && v10.is_same(&matching), "{matching:?} {v10:?}");
        for (version, form) in [(Version::V10, &v10), (Version::V13, &v10), (Version::V10, &matching)] {
            let Ok(Body::FlowMod(read)) = sent(version, flow(form.clone(), vec![])) else { panic!() };
            assert!(!read.nxm && read.matching.is_same(&matching), "{version} {matching:?} {read:?}");
        }
    }
}

#[test]
fn what_1_0_s_match_has_no_room_for_goes_in_nicira_s_form() {
    for matching in [
        Match::new().any_vlan(),
        Match::new().metadata(5),
        Match::new().ipv6_src(1.into()),
        Match::new().eth_dst_masked(MacAddr([1, 0, 0, 0, 0, 0]), MacAddr([1, 0, 0, 0, 0, 0])),
        Match::new().ipv4_dst_masked(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(255, 0, 0, 255)),
        Match::new().arp_op(300),
        Match::new().with(Oxm::exact(Field::Reg0, 1)),
    ] {
        assert_eq!(matching.to_v10(), None);
        let Ok(Body::FlowMod(read)) = sent(Version::V10, flow(matching.clone(), vec![])) else { panic!() };
        assert!(read.nxm && read.matching.is_same(&matching), "{matching:?} {read:?}");
        let request = Request::Flow(FlowRequest {
            table: 0xff,
            out_port: PortNo::ANY,
            out_group: openflow::group::ANY,
            cookie: 0,
            cookie_mask: 0,
            matching: matching.clone(),
        });
        let request = Body::MultipartRequest(MultipartRequest { flags: 0, body: request });
        assert!(unsayable(Version::V10, request).contains("cannot say the match"));
        let removed = FlowRemoved {
            nxm: false,
            cookie: 1,
            priority: 2,
            reason: RemovedReason::Delete,
            table: 3,
            duration: (4, 5),
            idle_timeout: 6,
            hard_timeout: 0,
            packets: 8,
            bytes: 9,
            matching,
        };
        let Ok(Body::FlowRemoved(read)) = sent(Version::V10, Body::FlowRemoved(removed.clone())) else {
            panic!()
        };
        assert!(read.matching.is_same(&removed.matching));
        assert_eq!(FlowRemoved { nxm: false, matching: removed.matching.clone(), ..read }, removed);
    }
}

#[test]
fn a_cookie_s_mask_is_a_field_in_nicira_s_form() {
    let flow = FlowMod { cookie: 5, cookie_mask: 0xff, ..FlowMod::default() };
    let Ok(Body::FlowMod(read)) = sent(Version::V10, Body::FlowMod(flow)) else { panic!() };
    assert_eq!(read.matching, Match::Fields(vec![Oxm::masked(Field::Cookie, 5, 0xff)]));
    assert!(read.nxm);
    let Ok(Body::FlowMod(again)) = sent(Version::V13, Body::FlowMod(read)) else { panic!() };
    assert_eq!((again.cookie, again.cookie_mask, again.matching), (5, 0xff, Match::new()));
}

#[test]
fn what_is_1_3_s_alone_is_refused_by_name() {
    let group = GroupMod {
        command: GroupCommand::Add,
        kind: GroupKind::All,
        group: 1,
        buckets: vec![Bucket::default()],
    };
    let error = unsayable(Version::V10, Body::GroupMod(group));
    assert_eq!(error, "OF1.0 cannot say a group-mod");
    let goto = FlowMod { instructions: vec![Instruction::GotoTable(1)], ..FlowMod::default() };
    let error = unsayable(Version::V10, Body::FlowMod(goto));
    assert_eq!(error, "OF1.0 cannot say instructions other than to apply actions");
    let error = unsayable(Version::V10, flow(Match::new(), vec![Action::output(PortNo(0x1_0000))]));
    assert_eq!(error, "OF1.0 cannot say port 65536");
    let port = PortMod { port: PortNo(1), address: MAC, config: 0, mask: 0, advertise: 1 << 7 };
    let error = unsayable(Version::V10, Body::PortMod(port.clone()));
    assert_eq!(error, "OF1.0 cannot say rates over 10 Gbit/s to advertise");
    let autonegotiation = PortMod { advertise: 1 << 13 | 1 << 6, ..port };
    assert_eq!(
        sent(Version::V10, Body::PortMod(autonegotiation.clone())),
        Ok(Body::PortMod(autonegotiation))
    );
    let meters = MultipartRequest { flags: 0, body: Request::MeterFeatures };
    let error = unsayable(Version::V10, Body::MultipartRequest(meters));
    assert_eq!(error, "OF1.0 cannot say statistics of groups or meters, or tables' features");
}
