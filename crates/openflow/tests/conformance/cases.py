"""os-ken's switch conformance suite as lines of text, for tests/conformance.rs.

    python cases.py of10|of13

os-ken itself reads its files and makes the bytes of messages and packets. One word, then tab-separated values:

    case <file> <description>
    message <bytes>                     a prerequisite
    test                                one packet, or many, and what must come of it
    ingress <bytes>
    many <packets a second> <seconds> <length> <byte that fills>   followed by
    head <bytes>                        the first bytes of each; one, or one for every packet
    egress <bytes> | packet_in <bytes> | miss <table>...
    rate <flow-mod whose match counts> <kbps or -> <packets a second or ->
"""

import glob
import json
import os
import sys

from os_ken import cfg, flags  # registers the tester's options
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3

from os_ken.tests.switch import tester

cfg.CONF([], project="os_ken")

HEAD = 96


def line(*words):
    print("\t".join(str(word) for word in words))


def text(data):
    return bytes(data).hex()


def many(packets):
    binary = packets["packet_binary"]
    line("many", packets["pktps"], packets["duration_time"], len(binary), binary[-1])
    if not packets["randomize"]:
        line("head", text(binary[:HEAD]))
        return
    for _ in range(packets["pktps"] * packets["duration_time"]):
        made = eval("/".join(packets["packet_text"]), vars(tester))
        made.serialize()
        line("head", text(made.data[:HEAD]))


def main():
    version = sys.argv[1]
    ofproto = {"of10": ofproto_v1_0, "of13": ofproto_v1_3}[version]
    tester.OfTester.target_ver = ofproto.OFP_VERSION
    tester.OfTester.tester_ver = ofproto_v1_3.OFP_VERSION
    root = os.path.join(os.path.dirname(tester.__file__), version)
    for path in sorted(glob.glob(os.path.join(root, "**", "*.json"), recursive=True)):
        with open(path) as handle:
            cases = json.load(handle)
        for case in cases:
            if isinstance(case, str):
                continue
            test = tester.Test(case)
            line("case", os.path.relpath(path, root), test.description)
            for message in test.prerequisite:
                line("message", text(message.buf))
            for one in test.tests:
                line("test")
                if "ingress" in one:
                    line("ingress", text(one["ingress"]))
                else:
                    many(one["packets"])
                for word, key in (("egress", "egress"), ("packet_in", "PACKET_IN")):
                    if key in one:
                        line(word, text(one[key]))
                if "table-miss" in one:
                    line("miss", *one["table-miss"])
                for rate in one.get("throughput", []):
                    message = rate["OFPFlowMod"]
                    message.serialize()
                    line("rate", text(message.buf), rate["kbps"] or "-", rate["pktps"] or "-")


main()
