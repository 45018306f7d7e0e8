//! Tables as a controller asks for them (OpenFlow 1.3.5, section 7.3.5.5).

use openflow::action::Action;
use openflow::error::{
    BadAction, BadInstruction, BadMatch, BadRequest, Fault, FlowModFailed, TableFeaturesFailed,
    TableModFailed,
};
use openflow::field::Field;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod, flags};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Role, RoleMessage, TableMod};
use openflow::multipart::{FlowRequest, MultipartReply, MultipartRequest, Reply, Request};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::switch::{Output, TABLES};
use openflow::table::{TableFeatures, TableProperty, TypeId};

use crate::rig::{NEW, OLD, Rig, out, udp4};

fn ask(tables: Vec<TableFeatures>) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::TableFeatures(tables) })
}

/// What the tables are once that was asked.
fn tables(rig: &mut Rig, asked: Vec<TableFeatures>) -> Vec<TableFeatures> {
    let parts = rig.send(NEW, ask(asked)).into_iter().map(|output| match output {
        Output::Message { message, .. } => match message.body {
            Body::MultipartReply(MultipartReply { body: Reply::TableFeatures(tables), .. }) => tables,
            other => panic!("{other:?}"),
        },
        Output::Packet { .. } => panic!("a packet"),
    });
    parts.flatten().collect()
}

fn types(kinds: &[u16]) -> Vec<TypeId> {
    kinds.iter().map(|kind| TypeId { kind: *kind, data: vec![] }).collect()
}

fn fields(fields: &[Field]) -> Vec<Oxm> {
    fields.iter().map(|field| Oxm::exact(*field, 0)).collect()
}

/// A table that looks at the Ethernet destination and the port, and sends packets out or on to others.
fn small(table: u8, next: &[u8]) -> TableFeatures {
    let miss = false;
    TableFeatures {
        table,
        name: format!("small-{table}"),
        metadata_match: 0xff,
        metadata_write: 0xf,
        config: 3,
        max_entries: 7,
        properties: vec![
            TableProperty::Instructions { miss, instructions: types(&[1, 2, 4]) },
            TableProperty::NextTables { miss, tables: next.to_vec() },
            TableProperty::WriteActions { miss, actions: vec![] },
            TableProperty::ApplyActions { miss, actions: types(&[0, 25]) },
            TableProperty::ApplyActions { miss: true, actions: types(&[0]) },
            TableProperty::Match(vec![
                Oxm::exact(Field::InPort, 0),
                Oxm::masked(Field::Metadata, 0, 0),
                Oxm::masked(Field::EthDst, 0, 0),
            ]),
            TableProperty::Wildcards(fields(&[Field::Metadata, Field::EthDst])),
            TableProperty::WriteSetField { miss, fields: vec![] },
            TableProperty::ApplySetField { miss, fields: fields(&[Field::EthSrc]) },
        ],
    }
}

fn entry(matching: Match, instructions: Vec<Instruction>) -> FlowMod {
    FlowMod { matching, instructions, ..FlowMod::default() }
}

fn from_one() -> Match {
    Match::new().in_port(PortNo(1))
}

#[test]
fn what_is_told_can_be_asked_for_and_changes_nothing() {
    let mut rig = Rig::new();
    rig.output(5, Match::default(), 2);
    let told = tables(&mut rig, vec![]);
    assert_eq!(told.len(), usize::from(TABLES));
    assert_eq!(tables(&mut rig, told.clone()), told);
    assert_eq!(rig.switch.flows(), 1, "and its entries stay");
}

#[test]
fn a_pipeline_is_what_was_asked_for() {
    let mut rig = Rig::new();
    let gone = FlowMod { flags: flags::SEND_FLOW_REM, ..entry(Match::default(), vec![out(&[2])]) };
    rig.flow(NEW, gone.clone());
    rig.flow(NEW, FlowMod { table: 9, ..gone });
    let told = tables(&mut rig, vec![small(0, &[2]), small(2, &[])]);
    assert_eq!(rig.switch.flows(), 0, "of tables that are gone, and of those that can do something else");
    let [first, second] = &told[..] else { panic!("{told:?}") };
    assert_eq!((first.table, first.name.as_str(), first.config), (0, "small-0", 3));
    assert_eq!((first.metadata_match, first.metadata_write), (0xff, 0xf));
    assert!(first.max_entries > 7, "which is the switch's to say");
    assert_eq!((second.table, second.properties.len()), (2, 14), "table-miss properties too");
    for property in &small(0, &[2]).properties {
        assert!(first.properties.contains(property), "{property:?} in {first:?}");
    }
    assert!(
        first.properties.contains(&TableProperty::NextTables { miss: true, tables: vec![2] }),
        "as the others, where nothing else was asked"
    );
    // The tables are those, wherever one asks.
    let Body::MultipartReply(MultipartReply { body: Reply::Table(counted), .. }) =
        rig.ask(NEW, Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Table }))
    else {
        panic!()
    };
    assert_eq!(counted.iter().map(|table| table.table).collect::<Vec<_>>(), [0, 2]);
    let flows = FlowRequest {
        table: 1,
        out_port: PortNo::ANY,
        out_group: openflow::group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: Match::default(),
    };
    let flows = MultipartRequest { flags: 0, body: Request::Flow(flows) };
    rig.refused(NEW, Body::MultipartRequest(flows), BadRequest::BadTableId);
    rig.refused(NEW, Body::TableMod(TableMod { table: 1, config: 0 }), TableModFailed::BadTable);
    rig.refused(
        NEW,
        Body::FlowMod(FlowMod { table: 1, ..entry(from_one(), vec![]) }),
        FlowModFailed::BadTableId,
    );
    let delete = FlowMod { command: FlowCommand::Delete, table: 1, ..FlowMod::default() };
    rig.refused(NEW, Body::FlowMod(delete), FlowModFailed::BadTableId);
    // And carry packets.
    rig.flow(NEW, entry(from_one(), vec![Instruction::GotoTable(2)]));
    rig.flow(NEW, FlowMod { table: 2, ..entry(from_one(), vec![out(&[3])]) });
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [3]);
    // The same again: nothing goes. Without the second, or with all of them, what leads there does.
    tables(&mut rig, vec![small(0, &[2]), small(2, &[])]);
    assert_eq!(rig.switch.flows(), 2);
    let renamed = TableFeatures { name: "other".into(), ..small(2, &[]) };
    tables(&mut rig, vec![small(0, &[2]), renamed]);
    assert_eq!(rig.switch.flows(), 2, "a name is nothing that a table can do");
    tables(&mut rig, vec![small(0, &[])]);
    assert_eq!(rig.switch.flows(), 0);
    let all = tables(&mut Rig::new(), vec![]);
    assert_eq!(tables(&mut rig, all.clone()), all);
    rig.flow(NEW, FlowMod { table: 9, ..entry(Match::default(), vec![out(&[2])]) });
}

#[test]
fn entries_beyond_what_a_table_can_do_are_refused() {
    let mut rig = Rig::new();
    tables(&mut rig, vec![small(0, &[2]), small(2, &[])]);
    let apply = |action| vec![Instruction::ApplyActions(vec![action])];
    let set = |field| Action::SetField(Oxm::exact(field, 1));
    let cases: Vec<(FlowMod, Fault)> = vec![
        (entry(from_one().ipv4(), vec![]), BadMatch::BadField.into()),
        (
            entry(from_one().with(Oxm::masked(Field::Metadata, 0x100, 0x100)), vec![]),
            BadMatch::BadMask.into(),
        ),
        (entry(from_one().metadata(1), vec![]), BadMatch::BadMask.into()),
        (entry(Match::default(), vec![]), BadMatch::BadWildcards.into()),
        (entry(from_one(), vec![Instruction::ClearActions]), BadInstruction::UnsupInst.into()),
        (entry(from_one(), vec![Instruction::WriteActions(vec![])]), BadInstruction::UnsupInst.into()),
        (entry(from_one(), vec![Instruction::GotoTable(1)]), BadInstruction::BadTableId.into()),
        (
            entry(from_one(), vec![Instruction::WriteMetadata { value: 0, mask: 0x1f }]),
            BadInstruction::UnsupMetadataMask.into(),
        ),
        (entry(from_one(), apply(Action::PushVlan(0x8100))), BadAction::BadType.into()),
        (entry(from_one(), apply(set(Field::EthDst))), BadAction::BadSetType.into()),
        (
            FlowMod { priority: 0, ..entry(Match::default(), apply(set(Field::EthSrc))) },
            BadAction::BadType.into(),
        ),
    ];
    for (flow, fault) in cases {
        rig.refused(NEW, Body::FlowMod(flow), fault);
    }
    // A table-miss entry leaves every field out, whatever the others must say.
    rig.flow(NEW, FlowMod { priority: 0, ..entry(Match::default(), vec![out(&[2])]) });
    let masked = Oxm::masked(Field::EthDst, 0x0200_0000_0000, 0x0200_0000_0000);
    rig.flow(NEW, entry(from_one().with(masked), apply(set(Field::EthSrc))));
    // What is changed is held to it, too; and a controller of 1.0 is, in its own words.
    let modify =
        FlowMod { command: FlowCommand::Modify, ..entry(from_one(), apply(Action::PushVlan(0x8100))) };
    rig.refused(NEW, Body::FlowMod(modify), BadAction::BadType);
    let old = entry(from_one(), apply(Action::StripVlan));
    rig.refused(OLD, Body::FlowMod(old), BadAction::BadType);
    rig.flow(OLD, entry(from_one(), apply(Action::SetDlSrc(packet::wire::MacAddr([2, 0, 0, 0, 0, 9])))));
}

#[test]
fn tables_that_cannot_be_are_refused_and_nothing_changes() {
    let mut rig = Rig::new();
    rig.output(5, Match::default(), 2);
    let with = |property: TableProperty| {
        let mut features = small(0, &[2]);
        features.properties.push(property);
        vec![features, small(2, &[])]
    };
    let without = |kind: usize| {
        let mut features = small(0, &[2]);
        features.properties.remove(kind);
        vec![features, small(2, &[])]
    };
    let instead = |kind: usize, property: TableProperty| {
        let mut features = small(0, &[2]);
        features.properties[kind] = property;
        vec![features, small(2, &[])]
    };
    let miss = false;
    let mut cases: Vec<(Vec<TableFeatures>, TableFeaturesFailed)> = vec![
        (vec![small(0, &[]), small(0, &[])], TableFeaturesFailed::BadTable),
        (vec![small(0, &[]), small(254, &[])], TableFeaturesFailed::BadTable),
        (vec![small(1, &[])], TableFeaturesFailed::BadTable),
        (vec![small(0, &[3]), small(2, &[])], TableFeaturesFailed::BadArgument),
        (vec![small(0, &[]), small(2, &[2])], TableFeaturesFailed::BadArgument),
        (with(TableProperty::Other(0xffff, vec![0, 0, 0x77, 0x77])), TableFeaturesFailed::BadType),
        (with(TableProperty::Other(0xfffe, vec![])), TableFeaturesFailed::BadType),
        (with(TableProperty::Match(vec![])), TableFeaturesFailed::BadArgument),
        (
            instead(0, TableProperty::Instructions { miss, instructions: types(&[7]) }),
            TableFeaturesFailed::BadArgument,
        ),
        (
            instead(3, TableProperty::ApplyActions { miss, actions: types(&[13]) }),
            TableFeaturesFailed::BadArgument,
        ),
        (
            instead(8, TableProperty::ApplySetField { miss, fields: fields(&[Field::InPort]) }),
            TableFeaturesFailed::BadArgument,
        ),
        (
            instead(5, TableProperty::Match(vec![Oxm::masked(Field::InPort, 0, 0)])),
            TableFeaturesFailed::BadArgument,
        ),
        (instead(6, TableProperty::Wildcards(fields(&[Field::Ipv4Dst]))), TableFeaturesFailed::BadArgument),
        (
            instead(5, TableProperty::Match(vec![Oxm::exact(Field::CtState, 0)])),
            TableFeaturesFailed::BadArgument,
        ),
        (vec![TableFeatures { config: 4, ..small(0, &[]) }], TableFeaturesFailed::BadArgument),
    ];
    // Every property must be there, but for those of the table-miss entry.
    cases.extend([0, 1, 2, 3, 5, 6, 7, 8].map(|kind| (without(kind), TableFeaturesFailed::BadArgument)));
    for (asked, fault) in cases {
        rig.refused(NEW, ask(asked), fault);
    }
    assert_eq!((tables(&mut rig, vec![]).len(), rig.switch.flows()), (usize::from(TABLES), 1));
    // A slave asks, and changes nothing.
    let slave = RoleMessage { role: Role::Slave, generation: 1 };
    rig.ask(NEW, Body::RoleRequest(slave));
    rig.refused(NEW, ask(vec![small(0, &[])]), BadRequest::IsSlave);
    assert_eq!(tables(&mut rig, vec![]).len(), usize::from(TABLES));
}

#[test]
fn entries_of_all_tables_go_without_a_word() {
    let mut rig = Rig::new();
    for table in [0, 1, 2] {
        rig.flow(
            NEW,
            FlowMod { table, flags: flags::SEND_FLOW_REM, ..entry(Match::default(), vec![out(&[2])]) },
        );
    }
    let outputs = rig.send(NEW, ask(vec![small(0, &[])]));
    assert_eq!(outputs.len(), 1, "the answer alone: {outputs:?}");
    let delete = FlowMod { command: FlowCommand::Delete, table: ALL_TABLES, ..FlowMod::default() };
    rig.flow(NEW, delete);
    assert_eq!(rig.switch.flows(), 0);
}
