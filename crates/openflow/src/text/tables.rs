//! What tables can do (`ofp_table_features`): every property in its order, on a line of its own.

use super::names::{self, field_named};
use super::pen::Pen;
use super::piece::{ParseError, Piece};
use super::value::Hex;
use crate::oxm::Oxm;
use crate::table::{TableFeatures, TableProperty, TypeId};

/// Types of instructions by number (`ofp_instruction_type`).
const INSTRUCTIONS: &[(u16, &str)] = &[
    (1, "goto_table"),
    (2, "write_metadata"),
    (3, "write_actions"),
    (4, "apply_actions"),
    (5, "clear_actions"),
    (6, "meter"),
];
/// Types of actions by number (`ofp_action_type`).
const ACTIONS: &[(u16, &str)] = &[
    (0, "output"),
    (11, "copy_ttl_out"),
    (12, "copy_ttl_in"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (17, "push_vlan"),
    (18, "pop_vlan"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (21, "set_queue"),
    (22, "group"),
    (23, "mod_nw_ttl"),
    (24, "dec_ttl"),
    (25, "set_field"),
    (26, "push_pbb"),
    (27, "pop_pbb"),
];

impl Default for TableProperty {
    /// Nothing known, of no bytes.
    fn default() -> Self {
        Self::Other(0, Vec::new())
    }
}

pub(super) fn features<P: Pen>(pen: &mut P, tables: &mut Vec<TableFeatures>) -> Result<(), P::Error> {
    pen.each("\n  table ", tables, |pen, _, table| {
        pen.decimal(&mut table.table)?;
        if pen.maybe(" (\"", !table.name.is_empty())? {
            pen.name(&mut table.name, '"')?;
            pen.text("\")")?;
        }
        pen.text(":\n    metadata: match=")?;
        pen.hex(&mut table.metadata_match)?;
        pen.text(" write=")?;
        pen.hex(&mut table.metadata_write)?;
        if pen.maybe("\n    config=", table.config != 0)? {
            pen.hex(&mut table.config)?;
        }
        pen.text("\n    max_entries=")?;
        pen.decimal(&mut table.max_entries)?;
        pen.each("\n    - ", &mut table.properties, |pen, _, one| property(pen, one))
    })
}

/// The words of a property; of the table-miss entry's, `(miss)` follows.
fn words(property: &TableProperty) -> (usize, bool) {
    match property {
        TableProperty::Instructions { miss, .. } => (0, *miss),
        TableProperty::NextTables { miss, .. } => (1, *miss),
        TableProperty::WriteActions { miss, .. } => (2, *miss),
        TableProperty::ApplyActions { miss, .. } => (3, *miss),
        TableProperty::Match(_) => (4, false),
        TableProperty::Wildcards(_) => (5, false),
        TableProperty::WriteSetField { miss, .. } => (6, *miss),
        TableProperty::ApplySetField { miss, .. } => (7, *miss),
        TableProperty::Other(..) => (8, false),
    }
}

const WORDS: &[&str] = &[
    "instructions",
    "next tables",
    "write actions",
    "apply actions",
    "matching",
    "wildcards",
    "set in write actions",
    "set in apply actions",
    "property ",
];

/// Nothing in it, of that kind.
fn empty(kind: usize, miss: bool) -> TableProperty {
    match kind {
        0 => TableProperty::Instructions { miss, instructions: Vec::new() },
        1 => TableProperty::NextTables { miss, tables: Vec::new() },
        2 => TableProperty::WriteActions { miss, actions: Vec::new() },
        3 => TableProperty::ApplyActions { miss, actions: Vec::new() },
        4 => TableProperty::Match(Vec::new()),
        5 => TableProperty::Wildcards(Vec::new()),
        6 => TableProperty::WriteSetField { miss, fields: Vec::new() },
        7 => TableProperty::ApplySetField { miss, fields: Vec::new() },
        _ => TableProperty::Other(0, Vec::new()),
    }
}

fn property<P: Pen>(pen: &mut P, property: &mut TableProperty) -> Result<(), P::Error> {
    let (of, missed) = words(property);
    let mut kind = WORDS.len() - 1;
    for (index, words) in WORDS.iter().enumerate() {
        if pen.maybe(words, index == of)? {
            kind = index;
            break;
        }
    }
    let miss = pen.maybe(" (miss)", missed)?;
    // What is written is there already; what is read starts out empty.
    if kind != of || miss != missed {
        *property = empty(kind, miss);
    }
    if let TableProperty::Other(number, data) = property {
        pen.decimal(number)?;
        pen.text(": ")?;
        return pen.bytes(data);
    }
    pen.text(":")?;
    match property {
        TableProperty::Instructions { instructions: types, .. } => {
            list(pen, types, |pen, one| kind_of(pen, one, INSTRUCTIONS))
        }
        TableProperty::WriteActions { actions: types, .. }
        | TableProperty::ApplyActions { actions: types, .. } => {
            list(pen, types, |pen, one| kind_of(pen, one, ACTIONS))
        }
        TableProperty::NextTables { tables, .. } => list(pen, tables, Pen::decimal),
        TableProperty::Match(fields)
        | TableProperty::Wildcards(fields)
        | TableProperty::WriteSetField { fields, .. }
        | TableProperty::ApplySetField { fields, .. } => {
            let mut held: Vec<Held> = fields.drain(..).map(|oxm| Held(Some(oxm))).collect();
            list(pen, &mut held, header)?;
            *fields = held.into_iter().filter_map(|held| held.0).collect();
            Ok(())
        }
        TableProperty::Other(..) => Ok(()),
    }
}

/// A field that is there once it is read.
#[derive(Default)]
struct Held(Option<Oxm>);

/// Items with blanks between, up to the end of the line.
fn list<P: Pen, T: Default>(
    pen: &mut P,
    items: &mut Vec<T>,
    form: impl Fn(&mut P, &mut T) -> Result<(), P::Error>,
) -> Result<(), P::Error> {
    let more = |pen: &P| {
        pen.ahead("", |c| c.is_ascii_alphanumeric()) && !pen.ahead("table ", |c| c.is_ascii_digit())
    };
    pen.each_while(" ", items, more, |pen, _, item| form(pen, item))
}

/// A type by name or number, and in brackets what else its header has.
fn kind_of<P: Pen>(
    pen: &mut P,
    one: &mut TypeId,
    names: &'static [(u16, &'static str)],
) -> Result<(), P::Error> {
    pen.named(&mut one.kind, names, "type", (u32::from, |number| u16::try_from(number).ok()))?;
    if pen.maybe("[", !one.data.is_empty())? {
        pen.bytes(&mut one.data)?;
        pen.text("]")?;
    }
    Ok(())
}

/// A field's header: its name, with `/mask` where it may have a mask.
fn header<P: Pen>(pen: &mut P, held: &mut Held) -> Result<(), P::Error> {
    let write = |held: &Held, f: &mut std::fmt::Formatter<'_>| match &held.0 {
        Some(Oxm::Known { field, mask: None, .. }) => f.write_str(field.name()),
        Some(Oxm::Known { field, mask: Some(_), .. }) => write!(f, "{}/mask", field.name()),
        Some(Oxm::Unknown { header, payload }) => {
            write!(f, "{}{header:08x}={}", names::UNKNOWN, Hex(payload))
        }
        None => Ok(()),
    };
    let read = |piece: Piece<'_>| -> Result<Held, ParseError> {
        if piece.text.starts_with(names::UNKNOWN) {
            let (key, value) = piece.split_once("=").unwrap_or((piece, piece.end()));
            return names::unknown(key, value).map(|oxm| Held(Some(oxm)));
        }
        let (name, mask) = match piece.strip_suffix("/mask") {
            Some(name) => (name, Some(0)),
            None => (piece, None),
        };
        let field = field_named(name.text).ok_or_else(|| super::matches::unknown_key(name, &[]))?;
        Ok(Held(Some(Oxm::Known { field, spelling: 0, value: 0, mask })))
    };
    pen.token(held, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '='), write, read)
}
