//! Random and malformed requests, made from the interface's schema: mostly sensible values from small sets, so that
//! modules, ports and classes meet, with nonsense among them, and now and then bytes that are no message at all.

use packet::fuzzing::bounded::Random;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use prost_types::Any;
use softnic::bess::{Bess, pb};

use super::{packed, schema};

/// Makes requests.
pub(crate) struct Fuzzer {
    random: Random,
    pool: DescriptorPool,
    /// Classes with their argument and commands.
    classes: Vec<(String, pb::GetMclassInfoResponse)>,
    /// Modules created so far, with the index of their class.
    modules: Vec<(String, usize)>,
    methods: Vec<MethodDescriptor>,
    /// What the names of abstract sockets begin with.
    sockets: String,
}

/// Names that modules, ports, classes, attributes, files and addresses have; none of them touches the machine.
const WORDS: &[&str] = &[
    "",
    "m0",
    "m1",
    "m2",
    "m3",
    "m4",
    "m5",
    "p0",
    "p1",
    "p2",
    "c0",
    "c1",
    "c2",
    "a0",
    "a1",
    "!leaf_m0:0",
    "!default_rr_0",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.0/8",
    "192.0.2.255",
    "0.0.0.0/0",
    "2001:db8::1",
    "2001:db8::/32",
    "300.1.1.1/99",
    "02:00:00:00:00:01",
    "ff:ff:ff:ff:ff:ff",
    "xx:yy",
    "packet",
    "bit",
    "count",
    "cycle",
    "priority",
    "weighted_fair",
    "round_robin",
    "rate_limit",
    "leaf",
    "Track",
    "TcpDump",
    "PcapNg",
    "track0",
    "tcpdump0",
    "reset",
    "tcp port 80",
    "ip6 and not udp",
    "ip[0] & 0xf != 5",
    "((((",
    "l2",
    "l3",
    "l4",
    "batch",
    "/nonexistent/fifo",
    "uniform",
    "exponential",
    "pareto",
    "net_ring0",
    "net_memif0,role=server,socket=weft-bess-fuzz",
    "net_null0,x=1",
    "\u{1F980}\u{1F980}",
];

impl Fuzzer {
    /// For that daemon; `KillBess` is not among the requests.
    pub(crate) fn new(bess: &Bess, seed: u64, sockets: String) -> Self {
        let names = bess.call("ListMclass", &[]).unwrap();
        let names = pb::ListMclassResponse::decode(&*names).unwrap().names;
        let classes = names.into_iter().map(|name| {
            let request = pb::GetMclassInfoRequest { name: name.clone() }.encode_to_vec();
            let info = bess.call("GetMclassInfo", &request).unwrap();
            (name, pb::GetMclassInfoResponse::decode(&*info).unwrap())
        });
        let pool = schema();
        let service = pool.services().next().unwrap();
        let methods = service.methods().filter(|method| method.name() != "KillBess").collect();
        let (classes, random) = (classes.collect(), Random(seed));
        Self { random, pool, classes, modules: Vec::new(), methods, sockets }
    }

    fn below(&mut self, count: usize) -> usize {
        self.random.below(count)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.random.one_in(count)
    }

    fn word(&mut self) -> String {
        let at = self.below(WORDS.len() + 1);
        // Once in a while a very long one.
        WORDS.get(at).map_or_else(|| "x".repeat(5000), |word| (*word).to_owned())
    }

    fn number(&mut self) -> u64 {
        match self.below(10) {
            0 => u64::MAX,
            1 => 1 << 63,
            2 => self.random.next(),
            3 => 8192,
            4 => 65_536,
            _ => self.below(9) as u64,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let most = if self.one_in(20) { 3000 } else { 20 };
        let count = self.below(most);
        self.random.bytes(count)
    }

    fn message(&mut self, kind: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        for field in kind.fields() {
            if self.one_in(4) || depth > 6 {
                continue;
            }
            let value = self.field(&field, depth);
            message.set_field(&field, value);
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!() };
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let entries = (0..self.below(4)).map(|_| {
                let key = match key.kind() {
                    Kind::Uint32 => MapKey::U32(self.number() as u32),
                    _ => MapKey::String(self.word()),
                };
                (key, self.value(&value, depth))
            });
            return Value::Map(entries.collect());
        }
        if field.is_list() {
            let most = if self.one_in(50) { 200 } else { 5 };
            return Value::List((0..self.below(most)).map(|_| self.value(field, depth)).collect());
        }
        self.value(field, depth)
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::Bool => Value::Bool(self.one_in(2)),
            Kind::Int32 => Value::I32(self.number() as i32),
            Kind::Int64 => Value::I64(if self.one_in(8) { -1 } else { self.number() as i64 }),
            Kind::Uint32 => Value::U32(self.number() as u32),
            Kind::Uint64 => Value::U64(self.number()),
            Kind::Double => Value::F64(match self.below(6) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => -1.0,
                _ => self.below(2000) as f64 / 10.0,
            }),
            Kind::String => Value::String(self.word()),
            Kind::Bytes => Value::Bytes(self.bytes().into()),
            Kind::Message(kind) => Value::Message(self.message(&kind, depth + 1)),
            other => panic!("the schema has no {other:?}"),
        }
    }

    /// A message of that name, packed.
    fn any(&mut self, name: &str) -> Any {
        let name = format!("bess.pb.{}", if self.one_in(30) { "UpdateArg" } else { name });
        let Some(kind) = self.pool.get_message_by_name(&name) else { return Any::default() };
        let mut value = self.message(&kind, 0).encode_to_vec();
        if self.one_in(40) {
            value = self.bytes();
        }
        Any { type_url: format!("type.googleapis.com/{name}"), value }
    }

    fn create_module(&mut self) -> (String, Vec<u8>) {
        let at = self.below(self.classes.len());
        let (mclass, name) = (self.classes[at].0.clone(), format!("m{}", self.below(12)));
        let arg = Some(self.any(&argument(&self.pool, &mclass)));
        let request = pb::CreateModuleRequest { name: name.clone(), mclass, arg };
        self.modules.retain(|(known, _)| *known != name);
        self.modules.push((name, at));
        ("CreateModule".to_owned(), request.encode_to_vec())
    }

    fn command(&mut self) -> (String, Vec<u8>) {
        let Some(at) = (!self.modules.is_empty()).then(|| self.below(self.modules.len())) else {
            return self.create_module();
        };
        let (name, class) = self.modules[at].clone();
        let commands = self.classes[class].1.clone();
        let at = self.below(commands.cmds.len());
        let (Some(cmd), Some(arg)) = (commands.cmds.get(at), commands.cmd_args.get(at)) else {
            return self.create_module();
        };
        let arg = Some(self.any(arg));
        ("ModuleCommand".to_owned(), pb::CommandRequest { name, cmd: cmd.clone(), arg }.encode_to_vec())
    }

    fn create_port(&mut self) -> (String, Vec<u8>) {
        let name = format!("p{}", self.below(4));
        let (driver, arg) = match self.below(4) {
            // What opens nothing but memory and abstract sockets.
            0 | 1 => {
                let number = self.below(6);
                let path = format!("@{}-{number}", self.sockets);
                let arg =
                    pb::UnixSocketPortArg { path, confirm_connect: self.one_in(2), ..Default::default() };
                ("UnixSocketPort", packed(&arg))
            }
            2 => ("PMDPort", packed(&pb::PmdPortArg { loopback: true, ..Default::default() })),
            _ => ("VPort", packed(&pb::VPortArg { loopback: true, ..Default::default() })),
        };
        let mut request =
            pb::CreatePortRequest { name, driver: driver.to_owned(), arg: Some(arg), ..Default::default() };
        (request.num_inc_q, request.size_out_q) = (self.number(), self.number());
        ("CreatePort".to_owned(), request.encode_to_vec())
    }

    /// Where a class or a task may well stand.
    fn place(&mut self, class: &mut pb::TrafficClass) {
        use pb::traffic_class::Arg;
        class.wid = -1;
        if self.one_in(2) {
            class.wid = self.below(3) as i64 - 1;
        } else {
            class.parent = format!("c{}", self.below(5));
        }
        class.arg = match self.below(3) {
            0 => Some(Arg::Priority(self.below(4) as i64)),
            1 => Some(Arg::Share(self.below(4) as i64)),
            _ => None,
        };
    }

    /// A request about a traffic class that makes sense.
    fn class(&mut self) -> (String, Vec<u8>) {
        let one_of = |fuzzer: &mut Self, words: [&str; 4]| words[fuzzer.below(4)].to_owned();
        let mut class = pb::TrafficClass::default();
        self.place(&mut class);
        if self.one_in(2) && !self.modules.is_empty() {
            let at = self.below(self.modules.len());
            class.leaf_module_name.clone_from(&self.modules[at].0);
            class.leaf_module_taskid = u64::from(self.one_in(8));
            let request = pb::UpdateTcParentRequest { class: Some(class) };
            return ("UpdateTcParent".to_owned(), request.encode_to_vec());
        }
        class.name = format!("c{}", self.below(5));
        class.policy = one_of(self, ["priority", "weighted_fair", "round_robin", "rate_limit"]);
        class.resource = one_of(self, ["count", "cycle", "packet", "bit"]);
        class.limit.insert(class.resource.clone(), self.below(100_000) as i64);
        class.max_burst.insert(class.resource.clone(), self.below(1000) as i64);
        match self.below(4) {
            0 => (
                "UpdateTcParent".to_owned(),
                pb::UpdateTcParentRequest { class: Some(class) }.encode_to_vec(),
            ),
            1 => (
                "UpdateTcParams".to_owned(),
                pb::UpdateTcParamsRequest { class: Some(class) }.encode_to_vec(),
            ),
            _ => ("AddTc".to_owned(), pb::AddTcRequest { class: Some(class) }.encode_to_vec()),
        }
    }

    /// A connection between two modules, or its end.
    fn connect(&mut self) -> (String, Vec<u8>) {
        let (m1, m2) = (format!("m{}", self.below(12)), format!("m{}", self.below(12)));
        let ogate = self.below(3) as u64;
        if self.one_in(4) {
            let request = pb::DisconnectModulesRequest { name: m1, ogate };
            return ("DisconnectModules".to_owned(), request.encode_to_vec());
        }
        let (igate, skip_default_hooks) = (self.below(2) as u64, self.one_in(3));
        let request = pb::ConnectModulesRequest { m1, m2, ogate, igate, skip_default_hooks };
        ("ConnectModules".to_owned(), request.encode_to_vec())
    }

    /// The next request: the name of a method, and bytes that may be a message of it.
    pub(crate) fn request(&mut self) -> (String, Vec<u8>) {
        match self.below(16) {
            0..4 => return self.create_module(),
            4..8 => return self.command(),
            8 => return self.create_port(),
            9 => return self.class(),
            10 => return self.connect(),
            _ => {}
        }
        let at = self.below(self.methods.len());
        let method = self.methods[at].clone();
        let name = method.name().to_owned();
        // Clearing everything all the time would leave nothing to meet; other ports would touch the machine.
        if name.starts_with("Reset") && !self.one_in(20) || name == "CreatePort" {
            return self.create_module();
        }
        if self.one_in(50) {
            return (name, self.bytes());
        }
        (name, self.message(&method.input(), 0).encode_to_vec())
    }
}

/// The message that creates a class's modules, as a client would find it.
fn argument(pool: &DescriptorPool, class: &str) -> String {
    let name = format!("{class}Arg");
    match (class, pool.get_message_by_name(&format!("bess.pb.{name}"))) {
        ("MPLSPop", _) => "MplsPopArg".to_owned(),
        (_, Some(_)) => name,
        (_, None) => "EmptyArg".to_owned(),
    }
}
