"""A learning switch for os-ken: `l2.py PORT VERSION`, a controller on 127.0.0.1.

In the manner of os-ken's own samples: what is not known is flooded, what is known gets a flow.
"""

import sys

from os_ken.lib import hub

hub.patch()

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3


class L2(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_0.OFP_VERSION if sys.argv[2] == "1.0" else ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stations = {}

    def add(self, datapath, priority, match, actions):
        parser, proto = datapath.ofproto_parser, datapath.ofproto
        if proto.OFP_VERSION == ofproto_v1_0.OFP_VERSION:
            flow = parser.OFPFlowMod(datapath, match=match, cookie=0, command=proto.OFPFC_ADD, priority=priority, actions=actions)
        else:
            instructions = [parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)]
            flow = parser.OFPFlowMod(datapath, priority=priority, match=match, instructions=instructions)
        datapath.send_msg(flow)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        datapath = event.msg.datapath
        parser, proto = datapath.ofproto_parser, datapath.ofproto
        print("switch %016x" % event.msg.datapath_id, flush=True)
        if proto.OFP_VERSION != ofproto_v1_0.OFP_VERSION:
            self.add(datapath, 0, parser.OFPMatch(), [parser.OFPActionOutput(proto.OFPP_CONTROLLER, proto.OFPCML_NO_BUFFER)])

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message, datapath = event.msg, event.msg.datapath
        parser, proto = datapath.ofproto_parser, datapath.ofproto
        in_port = message.in_port if proto.OFP_VERSION == ofproto_v1_0.OFP_VERSION else message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        self.stations[frame.src] = in_port
        out = self.stations.get(frame.dst, proto.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != proto.OFPP_FLOOD:
            if proto.OFP_VERSION == ofproto_v1_0.OFP_VERSION:
                match = parser.OFPMatch(in_port=in_port, dl_dst=frame.dst)
            else:
                match = parser.OFPMatch(in_port=in_port, eth_dst=frame.dst)
            self.add(datapath, 1, match, actions)
        data = message.data if message.buffer_id == proto.OFP_NO_BUFFER else None
        datapath.send_msg(parser.OFPPacketOut(datapath, message.buffer_id, in_port, actions, data))


if __name__ == "__main__":
    listen = ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", sys.argv[1]]
    cfg.CONF(args=listen, project="os_ken")
    sys.modules["l2"] = sys.modules["__main__"]
    app_manager.AppManager.run_apps(["l2", "os_ken.controller.ofp_handler"])
