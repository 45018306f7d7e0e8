"""Judges messages by os-ken: lines of name and bytes in hexadecimal on standard input, each with a verdict here.

A message that os-ken can make is made with its classes and compared byte for byte. A message that it can read is read,
and what it read is compared with what is written here. What it can do neither with is named, with the reason.
"""

import json
import logging
import sys

logging.disable(logging.CRITICAL)

from os_ken.ofproto import nx_match, ofproto_parser, ofproto_protocol
from os_ken.ofproto import ofproto_v1_0 as o10
from os_ken.ofproto import ofproto_v1_0_parser as p10
from os_ken.ofproto import ofproto_v1_3 as o13
from os_ken.ofproto import ofproto_v1_3_parser as p13

d10 = ofproto_protocol.ProtocolDesc(version=1)
d13 = ofproto_protocol.ProtocolDesc(version=4)

MAC = "02:00:00:00:00:%02x"
NO_BUFFER = 0xFFFFFFFF
COOKIE = 0x1122334455667788
MAKER = 0x7777
ARP = bytes.fromhex(
    "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002"
)


def tcp10():
    return p10.OFPMatch(
        wildcards=8 << o10.OFPFW_NW_SRC_SHIFT,
        in_port=1,
        dl_src=bytes.fromhex("020000000001"),
        dl_dst=bytes.fromhex("020000000002"),
        dl_vlan=5,
        dl_vlan_pcp=3,
        dl_type=0x0800,
        nw_tos=40,
        nw_proto=6,
        nw_src="10.0.0.0",
        nw_dst="10.0.0.2",
        tp_src=4000,
        tp_dst=80,
    )


def all10():
    left_out = 32 << o10.OFPFW_NW_SRC_SHIFT | 32 << o10.OFPFW_NW_DST_SHIFT
    return p10.OFPMatch(wildcards=o10.OFPFW_ALL & ~(o10.OFPFW_NW_SRC_MASK | o10.OFPFW_NW_DST_MASK) | left_out)


def tcp13():
    return p13.OFPMatch(
        in_port=1,
        eth_src=MAC % 1,
        eth_dst=MAC % 2,
        vlan_vid=0x1005,
        vlan_pcp=3,
        eth_type=0x0800,
        ipv4_src=("10.0.0.0", "255.255.255.0"),
        ipv4_dst="10.0.0.2",
        ip_dscp=10,
        ip_proto=6,
        tcp_src=4000,
        tcp_dst=80,
    )


def nxm():
    rule = nx_match.ClsRule()
    rule.set_in_port(1)
    rule.set_dl_dst_masked(bytes.fromhex("010000000000"), bytes.fromhex("010000000000"))
    rule.set_dl_type(0x0800)
    rule.set_dl_tci_masked(0x1005, 0x1FFF)
    rule.set_nw_proto(6)
    rule.set_tp_dst_masked(80, 0xFFF0)
    rule.set_tun_id(9)
    rule.set_reg_masked(0, 5, 0xFF)
    return rule


def actions10():
    return [
        p10.OFPActionVlanVid(6),
        p10.OFPActionVlanPcp(2),
        p10.OFPActionStripVlan(),
        p10.OFPActionSetDlSrc(MAC % 3),
        p10.OFPActionSetDlDst(MAC % 4),
        p10.OFPActionSetNwSrc("10.0.0.3"),
        p10.OFPActionSetNwDst("10.0.0.4"),
        p10.OFPActionSetNwTos(0x28),
        p10.OFPActionSetTpSrc(4001),
        p10.OFPActionSetTpDst(8080),
        p10.OFPActionEnqueue(2, 7),
        p10.OFPActionOutput(2, 0),
        p10.OFPActionOutput(o10.OFPP_CONTROLLER, 128),
    ]


def set13(**field):
    return p13.OFPActionSetField(**field)


def out13(port, max_len=0):
    return p13.OFPActionOutput(port, max_len)


def actions13():
    return [
        set13(vlan_vid=0x1006),
        set13(vlan_pcp=2),
        p13.OFPActionPopVlan(),
        p13.OFPActionPushVlan(0x8100),
        set13(eth_dst=MAC % 4),
        set13(ipv4_src="10.0.0.3"),
        set13(ip_dscp=10),
        set13(tcp_dst=8080),
        p13.OFPActionSetNwTtl(64),
        p13.OFPActionDecNwTtl(),
        p13.OFPActionSetQueue(7),
        p13.OFPActionGroup(1),
        out13(2),
        out13(o13.OFPP_CONTROLLER, 128),
    ]


def flow10(match, actions):
    return p10.OFPFlowMod(
        d10, match, COOKIE, o10.OFPFC_ADD, 60, 300, 100, NO_BUFFER, o10.OFPP_NONE, 3, actions
    )


def flow13(match, actions):
    inst = [p13.OFPInstructionActions(o13.OFPIT_APPLY_ACTIONS, actions)] if actions else []
    return p13.OFPFlowMod(
        d13,
        cookie=COOKIE,
        table_id=3,
        idle_timeout=60,
        hard_timeout=300,
        priority=100,
        flags=3,
        match=match,
        out_port=o13.OFPP_ANY,
        out_group=o13.OFPG_ANY,
        instructions=inst,
    )


def newer13():
    apply, write = (
        p13.OFPInstructionActions(kind, [out13(port)])
        for kind, port in ((o13.OFPIT_APPLY_ACTIONS, 1), (o13.OFPIT_WRITE_ACTIONS, 2))
    )
    return p13.OFPFlowMod(
        d13,
        cookie=1,
        table_id=1,
        priority=0x8000,
        flags=o13.OFPFF_RESET_COUNTS | o13.OFPFF_NO_PKT_COUNTS,
        out_port=o13.OFPP_ANY,
        out_group=o13.OFPG_ANY,
        match=p13.OFPMatch(
            metadata=(5, 0xFF),
            eth_type=0x86DD,
            ipv6_src="fd00::1",
            ipv6_dst=("fd00::", "ffff:ffff:ffff:ffff::"),
            ip_proto=58,
            icmpv6_type=135,
            ipv6_nd_target="fd00::2",
        ),
        instructions=[
            p13.OFPInstructionMeter(1),
            apply,
            p13.OFPInstructionActions(o13.OFPIT_CLEAR_ACTIONS, []),
            write,
            p13.OFPInstructionWriteMetadata(6, 0xFF),
            p13.OFPInstructionGotoTable(2),
        ],
    )


def bucket(weight, port, watch=o13.OFPP_ANY):
    return p13.OFPBucket(weight, watch, o13.OFPG_ANY, [out13(port)])


def bands():
    return [p13.OFPMeterBandDrop(1000, 10), p13.OFPMeterBandDscpRemark(500, 10, 1)]


def meter13(command, bands):
    flags = o13.OFPMF_KBPS | o13.OFPMF_BURST | o13.OFPMF_STATS
    return p13.OFPMeterMod(d13, command, flags, 1, bands)


def packet_out10(port):
    return p10.OFPPacketOut(
        d10, NO_BUFFER, o10.OFPP_CONTROLLER, [p10.OFPActionOutput(port, 0)], ARP
    )


def packet_out13(port):
    return p13.OFPPacketOut(d13, NO_BUFFER, o13.OFPP_CONTROLLER, [out13(port)], ARP)


ALL13 = dict(
    table_id=0xFF, out_port=o13.OFPP_ANY, out_group=o13.OFPG_ANY, cookie=0, cookie_mask=0
)
ASYNC = ([7, 1], [7, 2], [15, 3])

MADE = {
    "of1.0_hello": lambda: p10.OFPHello(d10),
    "of1.0_echo_request": lambda: p10.OFPEchoRequest(d10, b"anything"),
    "of1.0_barrier_request": lambda: p10.OFPBarrierRequest(d10),
    "of1.0_features_request": lambda: p10.OFPFeaturesRequest(d10),
    "of1.0_get_config_request": lambda: p10.OFPGetConfigRequest(d10),
    "of1.0_set_config": lambda: p10.OFPSetConfig(d10, 1, 0xFFFF),
    "of1.0_port_mod": lambda: p10.OFPPortMod(d10, 3, MAC % 3, 1, 5, 32),
    "of1.0_queue_get_config_request": lambda: p10.OFPQueueGetConfigRequest(d10, 1),
    "of1.0_packet_out_flood": lambda: packet_out10(o10.OFPP_FLOOD),
    "of1.0_packet_out_table": lambda: packet_out10(o10.OFPP_TABLE),
    "of1.0_flow_mod_tcp": lambda: flow10(tcp10(), actions10()),
    "of1.0_flow_mod_nicira": lambda: p10.NXTFlowMod(
        d10, 5, 0, priority=10, rule=nxm(), actions=[p10.OFPActionOutput(2, 0)]
    ),
    "of1.0_request_description": lambda: p10.OFPDescStatsRequest(d10, 0),
    "of1.0_request_flow": lambda: p10.OFPFlowStatsRequest(
        d10, 0, all10(), 0xFF, o10.OFPP_NONE
    ),
    "of1.0_request_aggregate": lambda: p10.OFPAggregateStatsRequest(
        d10, 0, tcp10(), 0xFF, o10.OFPP_NONE
    ),
    "of1.0_request_table": lambda: p10.OFPTableStatsRequest(d10, 0),
    "of1.0_request_port": lambda: p10.OFPPortStatsRequest(d10, 0, o10.OFPP_NONE),
    "of1.0_request_queue": lambda: p10.OFPQueueStatsRequest(d10, 0, o10.OFPP_ALL, o10.OFPQ_ALL),
    "of1.0_request_experimenter": lambda: p10.OFPVendorStatsRequest(d10, 0, MAKER, b"\0\0\0\1"),
    "of1.0_request_nicira_flow": lambda: p10.NXFlowStatsRequest(
        d10, 0, o10.OFPP_NONE, 0xFF, nxm()
    ),
    "of1.0_request_nicira_aggregate": lambda: p10.NXAggregateStatsRequest(
        d10, 0, o10.OFPP_NONE, 0xFF, nxm()
    ),
    "of1.0_nicira_role_request": lambda: p10.NXTRoleRequest(d10, 1),
    "of1.0_nicira_set_flow_format": lambda: p10.NXTSetFlowFormat(d10, 2),
    "of1.0_nicira_flow_mod_table_id": lambda: p10.NXTFlowModTableId(d10, 1),
    "of1.0_nicira_set_packet_in_format": lambda: p10.NXTSetPacketInFormat(d10, 1),
    "of1.0_nicira_set_async_config": lambda: p10.NXTSetAsyncConfig(d10, *ASYNC),
    "of1.0_nicira_set_controller_id": lambda: p10.NXTSetControllerId(d10, 3),
    "of1.0_nicira_flow_age": lambda: p10.NXTFlowAge(d10),
    "of1.3_echo_request": lambda: p13.OFPEchoRequest(d13, b"anything"),
    "of1.3_experimenter": lambda: p13.OFPExperimenter(d13, MAKER, 1, b""),
    "of1.3_barrier_request": lambda: p13.OFPBarrierRequest(d13),
    "of1.3_features_request": lambda: p13.OFPFeaturesRequest(d13),
    "of1.3_get_config_request": lambda: p13.OFPGetConfigRequest(d13),
    "of1.3_get_async_request": lambda: p13.OFPGetAsyncRequest(d13),
    "of1.3_set_config": lambda: p13.OFPSetConfig(d13, 1, 0xFFFF),
    "of1.3_set_async": lambda: p13.OFPSetAsync(d13, *ASYNC),
    "of1.3_port_mod": lambda: p13.OFPPortMod(d13, 3, MAC % 3, 1, 5, 32),
    "of1.3_table_mod": lambda: p13.OFPTableMod(d13, 0xFF, 0),
    "of1.3_role_request": lambda: p13.OFPRoleRequest(d13, o13.OFPCR_ROLE_MASTER, 0x11223344),
    "of1.3_queue_get_config_request": lambda: p13.OFPQueueGetConfigRequest(d13, 1),
    "of1.3_packet_out_flood": lambda: packet_out13(o13.OFPP_FLOOD),
    "of1.3_packet_out_table": lambda: packet_out13(o13.OFPP_TABLE),
    "of1.3_flow_mod_all": lambda: flow13(p13.OFPMatch(), [out13(o13.OFPP_NORMAL)]),
    "of1.3_flow_mod_tcp": lambda: flow13(tcp13(), actions13()),
    "of1.3_flow_mod_drop": lambda: flow13(p13.OFPMatch(), []),
    "of1.3_flow_mod_newer": newer13,
    "of1.3_flow_mod_delete": lambda: p13.OFPFlowMod(
        d13,
        command=o13.OFPFC_DELETE_STRICT,
        priority=1,
        out_port=2,
        out_group=o13.OFPG_ANY,
        match=p13.OFPMatch(),
    ),
    "of1.3_group_mod_select": lambda: p13.OFPGroupMod(
        d13, o13.OFPGC_ADD, o13.OFPGT_SELECT, 1, [bucket(1, 1), bucket(2, 2)]
    ),
    "of1.3_group_mod_failover": lambda: p13.OFPGroupMod(
        d13, o13.OFPGC_MODIFY, o13.OFPGT_FF, 1, [bucket(0, 1, watch=1)]
    ),
    "of1.3_meter_mod": lambda: meter13(o13.OFPMC_ADD, bands()),
    "of1.3_meter_mod_delete": lambda: meter13(o13.OFPMC_DELETE, []),
    "of1.3_request_description": lambda: p13.OFPDescStatsRequest(d13, 0),
    "of1.3_request_flow": lambda: p13.OFPFlowStatsRequest(d13, 0, match=p13.OFPMatch(), **ALL13),
    "of1.3_request_aggregate": lambda: p13.OFPAggregateStatsRequest(
        d13, 0, match=tcp13(), **ALL13
    ),
    "of1.3_request_table": lambda: p13.OFPTableStatsRequest(d13, 0),
    "of1.3_request_port": lambda: p13.OFPPortStatsRequest(d13, 0, o13.OFPP_ANY),
    "of1.3_request_queue": lambda: p13.OFPQueueStatsRequest(d13, 0, o13.OFPP_ANY, o13.OFPQ_ALL),
    "of1.3_request_group": lambda: p13.OFPGroupStatsRequest(d13, 0, o13.OFPG_ALL),
    "of1.3_request_group_description": lambda: p13.OFPGroupDescStatsRequest(d13, 0),
    "of1.3_request_group_features": lambda: p13.OFPGroupFeaturesStatsRequest(d13, 0),
    "of1.3_request_meter": lambda: p13.OFPMeterStatsRequest(d13, 0, o13.OFPM_ALL),
    "of1.3_request_meter_config": lambda: p13.OFPMeterConfigStatsRequest(d13, 0, o13.OFPM_ALL),
    "of1.3_request_meter_features": lambda: p13.OFPMeterFeaturesStatsRequest(d13, 0),
    "of1.3_request_table_features": lambda: p13.OFPTableFeaturesStatsRequest(d13, 0),
    "of1.3_request_port_description": lambda: p13.OFPPortDescStatsRequest(d13, 0),
    "of1.3_request_experimenter": lambda: p13.OFPExperimenterStatsRequest(d13, 0, MAKER, 1, b""),
    "of1.3_nicira_set_packet_in_format": lambda: p13.NXTSetPacketInFormatMsg(d13, 1),
}

# Read, and made again from what was read. os-ken's classes for Nicira's actions name the same arguments differently in
# both versions, so that this says more shortly that every one was understood.
AGAIN = {"of1.0_flow_mod_nicira_actions", "of1.3_flow_mod_nicira_actions"}

# What os-ken neither makes nor reads.
NEITHER = {
    "of1.0_queue_get_config_reply": "its parser is missing",
    "of1.0_request_port_description": "an extension of Open vSwitch",
    "of1.0_reply_port_description": "an extension of Open vSwitch",
    "of1.0_reply_nicira_flow": "it miscounts the match",
    "of1.0_flow_removed_nicira": "of the match it reads the first field",
    "of1.0_packet_in_nicira": "of the match it reads the first field, and miscounts the padding",
    "of1.0_request_flow_monitor": "its parser is missing",
    "of1.0_reply_flow_monitor": "its parser is missing",
    "of1.0_flow_monitor_cancel": "its parser is missing",
    "of1.0_flow_monitor_paused": "its parser is missing",
    "of1.0_flow_monitor_resumed": "its parser is missing",
    "of1.3_request_flow_monitor": "it has the fields of a match without the match, Open vSwitch with it",
}


def read(data):
    desc = d10 if data[0] == 1 else d13
    xid = int.from_bytes(data[4:8], "big")
    return ofproto_parser.msg(desc, data[0], data[1], len(data), xid, data)


def made(message, data):
    message.xid = None
    message.set_xid(int.from_bytes(data[4:8], "big"))
    message.serialize()
    return bytes(message.buf)


def judge(name, data, expected):
    if name in MADE:
        theirs = made(MADE[name](), data)
        return theirs == data or "os-ken makes %s" % theirs.hex()
    if name in AGAIN:
        theirs = made(read(data), data)
        return theirs == data or "os-ken makes %s" % theirs.hex()
    if name in NEITHER:
        return True
    message = read(data)
    if message is None:
        return "os-ken cannot read it"
    theirs = json.loads(json.dumps(message.to_jsondict()))
    if name not in expected:
        return "nothing is expected of it: %s" % json.dumps({name: theirs})
    return theirs == expected[name] or "os-ken reads %s, not %s" % (
        json.dumps(theirs),
        json.dumps(expected[name]),
    )


def main():
    with open(sys.argv[1]) as file:
        expected = json.load(file)
    failures, seen = 0, set()
    for line in sys.stdin:
        name, data = line.split()
        seen.add(name)
        try:
            verdict = judge(name, bytes.fromhex(data), expected)
        except Exception as error:
            verdict = "os-ken fails: %r" % error
        if verdict is not True:
            failures += 1
            print("%s: %s" % (name, verdict))
    for name in sorted((set(MADE) | AGAIN | set(NEITHER) | set(expected)) - seen):
        failures += 1
        print("%s: no message of ours" % name)
    print("%d messages, %d failures" % (len(seen), failures))
    sys.exit(1 if failures else 0)


main()
