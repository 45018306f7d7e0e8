// ns-3 runs TCP over a network read from standard input, one word and its numbers a line:
//
//   tcp SEGMENT INITIAL_WINDOW BUFFER    bytes, segments, bytes before each link
//   nodes COUNT
//   link A B BITS_PER_SECOND DELAY_NS    both ways
//   flow START_NS FROM TO BYTES          between nodes with one link
//   count                                counts packet-hops, which takes time
//
// Prints a line `fct NUMBER NANOSECONDS` for each flow that ends, from its SYN until its receiver has every byte; then `hops COUNT` (0
// without `count`) and `cpu SECONDS`, of the run without its set-up. What the RC3 paper's experiments do not say is as ns-3 has it.

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/traffic-control-module.h"

using namespace ns3;

struct Flow {
    uint64_t start, from, to, bytes, received;
};

static std::vector<Flow> flows;
static uint64_t hops = 0;

static void Received(uint64_t number, Ptr<const Packet> packet, const Address&) {
    Flow& flow = flows[number];
    bool before = flow.received < flow.bytes;
    flow.received += packet->GetSize();
    if (before && flow.received >= flow.bytes) {
        std::cout << "fct " << number << " " << Simulator::Now().GetNanoSeconds() - int64_t(flow.start) << "\n";
    }
}

static void Sent(Ptr<const Packet>) { hops++; }

static double CpuSeconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

static void Defaults(uint32_t segment, uint32_t window, uint64_t buffer) {
    Config::SetDefault("ns3::TcpL4Protocol::SocketType", StringValue("ns3::TcpNewReno"));
    Config::SetDefault("ns3::TcpL4Protocol::RecoveryType", StringValue("ns3::TcpClassicRecovery"));
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(segment));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(window));
    Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(1));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(1 << 29));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(1 << 29));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(false));
    Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(MilliSeconds(200)));
    Config::SetDefault("ns3::RttEstimator::InitialEstimation", TimeValue(Seconds(1)));
    Config::SetDefault("ns3::DropTailQueue<Packet>::MaxSize", QueueSizeValue(QueueSize(QueueSizeUnit::BYTES, buffer)));
}

int main() {
    NodeContainer nodes;
    Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.252");
    std::vector<Ipv4Address> address_of;
    NetDeviceContainer devices;
    std::string word;
    bool count = false;
    uint64_t segment = 1460;
    while (std::cin >> word) {
        uint64_t a = 0, b = 0, c = 0, d = 0;
        if (word == "tcp" && std::cin >> a >> b >> c) {
            segment = a;
            Defaults(a, b, c);
        } else if (word == "nodes" && std::cin >> a) {
            nodes.Create(a);
            address_of.resize(a);
            InternetStackHelper().Install(nodes);
        } else if (word == "link" && std::cin >> a >> b >> c >> d) {
            PointToPointHelper link;
            link.SetDeviceAttribute("DataRate", DataRateValue(DataRate(c)));
            link.SetChannelAttribute("Delay", TimeValue(NanoSeconds(d)));
            NetDeviceContainer ends = link.Install(nodes.Get(a), nodes.Get(b));
            Ipv4InterfaceContainer interfaces = addresses.Assign(ends);
            addresses.NewNetwork();
            address_of[a] = interfaces.GetAddress(0);
            address_of[b] = interfaces.GetAddress(1);
            devices.Add(ends);
        } else if (word == "flow" && std::cin >> a >> b >> c >> d) {
            flows.push_back({a, b, c, d, 0});
        } else if (word == "count") {
            count = true;
        } else {
            std::cerr << "not understood: " << word << "\n";
            return 2;
        }
    }
    // The queue is the device's alone.
    TrafficControlHelper().Uninstall(devices);
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();
    for (uint64_t number = 0; number < flows.size(); number++) {
        const Flow& flow = flows[number];
        const uint16_t port = 1000 + number;
        PacketSinkHelper sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), port));
        Ptr<Application> receiver = sink.Install(nodes.Get(flow.to)).Get(0);
        receiver->TraceConnectWithoutContext("Rx", MakeBoundCallback(&Received, number));
        BulkSendHelper bulk("ns3::TcpSocketFactory", InetSocketAddress(address_of[flow.to], port));
        bulk.SetAttribute("MaxBytes", UintegerValue(flow.bytes));
        bulk.SetAttribute("SendSize", UintegerValue(segment));
        bulk.Install(nodes.Get(flow.from)).Start(NanoSeconds(flow.start));
    }
    for (uint32_t device = 0; count && device < devices.GetN(); device++) {
        devices.Get(device)->TraceConnectWithoutContext("PhyTxBegin", MakeCallback(&Sent));
    }
    Simulator::Stop(Seconds(3600));
    const double start = CpuSeconds();
    Simulator::Run();
    std::cout << "hops " << hops << "\ncpu " << CpuSeconds() - start << "\n";
    Simulator::Destroy();
}
