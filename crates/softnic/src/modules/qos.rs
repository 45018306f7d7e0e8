//! [`Qos`].

use std::hash::{Hash, Hasher};

use lookup::flow_table::FlowTable;
use lookup::token_bucket::{Colour, MarkerError, Rate, TwoRateMarker};
use packet::flow::FlowHasher;
use packet::{BATCH, Batch, Packet};

use super::field::{FieldError, Fields, KEY_WORDS, Key};
use super::gates::{DROP, send};
use crate::engine::{Access, Attribute, Context, GATES_MAX, Gate, Module, Place};

/// Holds flows to their rates: finds the rule of a packet by the exact values of some fields, and meters it.
///
/// *Input gates*: one. *Output gates*: 1 for green packets of a meter, 2 for yellow ones, 3 for red ones, those above that
/// rules name, and the default gate for packets without a rule, which drops until it is set. *Attributes*: reads those
/// among its fields, writes those among its values.
///
/// A rule has a value for each field, values that are written into its packets, and either a gate above 3, where they go
/// unmetered, or a meter: two rates with their bursts (RFC 2698, colour-blind), in bytes a second and bytes. What is
/// beyond the peak rate is red, what is beyond the committed rate yellow. So many bytes of each packet as the meter says do
/// not count, such as its Ethernet header.
///
/// ```
/// use softnic::modules::{Field, Fields, Meter, Qos, QosAction};
///
/// let fields = Fields::new(vec![Field::attribute("session", 8)])?;
/// let mut qos = Qos::new(fields, Fields::default(), 1000, 0x5eed);
/// let meter = Meter { committed: 1_000_000, peak: 2_000_000, committed_burst: 3000, peak_burst: 3000, deducted: 14 };
/// qos.add(&[7u64.to_le_bytes().to_vec()], &[], QosAction::Meter(meter))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Qos {
    fields: Fields,
    values: Fields,
    rules: FlowTable<RuleKey, Rule>,
    hasher: FlowHasher,
    default_gate: Gate,
}

/// Where the packets of a rule go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosAction {
    /// To this gate.
    Gate(Gate),
    /// To that of their colour.
    Meter(Meter),
}

/// The rates that packets of a rule are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Committed rate, in bytes a second.
    pub committed: u64,
    /// Peak rate, in bytes a second, no less than that.
    pub peak: u64,
    /// Committed burst, in bytes.
    pub committed_burst: u64,
    /// Peak burst, in bytes.
    pub peak_burst: u64,
    /// Bytes of each packet that do not count; negative where more count than it has.
    pub deducted: i64,
}

/// A rule, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QosRule {
    /// The value of each field.
    pub fields: Vec<Vec<u8>>,
    /// The values written.
    pub values: Vec<Vec<u8>>,
    /// Where its packets go.
    pub action: QosAction,
}

/// A rule that [`Qos`] does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QosError {
    /// Its fields.
    #[error(transparent)]
    Fields(#[from] FieldError),
    /// Its values.
    #[error("values: {0}")]
    Values(FieldError),
    /// Gates 0 to 3 are the meters'.
    #[error("Invalid gate: {0}")]
    Gate(Gate),
    /// A rate of nothing.
    #[error("Insert Failed - rates of {committed} and {peak} bytes a second")]
    NoRate {
        /// Committed rate.
        committed: u64,
        /// Peak rate.
        peak: u64,
    },
    /// The rates do not fit.
    #[error("Insert Failed - {0}")]
    Meter(#[from] MarkerError),
    /// As many rules as there may be.
    #[error("{0} rules are there, as many as may be")]
    Full(usize),
}

struct Rule {
    /// Where its packets go, unless they are metered.
    gate: Gate,
    /// The marker, the bytes that do not count, and what it was made of.
    meter: Option<(TwoRateMarker, i64, Box<Meter>)>,
    values: Key,
}

/// Gates of the colours.
const GREEN: Gate = 1;
const YELLOW: Gate = 2;
const RED: Gate = 3;
/// Rules do not run out of time.
const NEVER_NS: u64 = u64::MAX;

/// The values of the fields, hashed as far as they are not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RuleKey(Key);

impl Hash for RuleKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let end = self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        self.0[..end].iter().for_each(|word| state.write_u64(*word));
    }
}

impl Rule {
    fn new(action: QosAction, values: Key) -> Result<Self, QosError> {
        let meter = match action {
            QosAction::Gate(gate) if gate <= RED || gate > DROP => return Err(QosError::Gate(gate)),
            QosAction::Gate(gate) => return Ok(Self { gate, meter: None, values }),
            QosAction::Meter(meter) => meter,
        };
        let Meter { committed, peak, committed_burst, peak_burst, deducted } = meter;
        if committed == 0 || peak == 0 {
            return Err(QosError::NoRate { committed, peak });
        }
        let [committed, peak] = [committed, peak].map(Rate::per_second);
        let marker = TwoRateMarker::new((committed, committed_burst), (peak, peak_burst), 0)?;
        Ok(Self { gate: DROP, meter: Some((marker, deducted, Box::new(meter))), values })
    }

    /// Where a packet goes.
    #[inline]
    fn judge(&mut self, packet: &Packet, now_ns: u64) -> Gate {
        let Some((marker, deducted, _)) = &mut self.meter else { return self.gate };
        let bytes = (packet.len() as i64).saturating_sub(*deducted).max(0);
        match marker.mark(bytes as u64, Colour::Green, now_ns) {
            Colour::Green => GREEN,
            Colour::Yellow => YELLOW,
            Colour::Red => RED,
        }
    }
}

impl Qos {
    /// Rules that one has room for when nobody says how many.
    pub const ENTRIES: usize = 1 << 15;
    /// The most rules.
    pub const ENTRIES_MAX: usize = 1 << 20;

    /// Finds rules by `fields`, writes `values`, and has room for `entries` rules, [`Qos::ENTRIES_MAX`] at most. The seed
    /// keys the hash.
    pub fn new(fields: Fields, values: Fields, entries: usize, seed: u64) -> Self {
        let entries = entries.clamp(1, Self::ENTRIES_MAX);
        let hasher = FlowHasher::new(seed.into());
        let rules = FlowTable::with_hasher(entries, hasher);
        Self { fields, values, rules, hasher, default_gate: DROP }
    }

    /// The fields that rules are found by.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields that are written.
    pub fn values(&self) -> &Fields {
        &self.values
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a rule, or changes the one with these fields, whose meter begins with full bursts.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(&mut self, fields: &[Vec<u8>], values: &[Vec<u8>], action: QosAction) -> Result<(), QosError> {
        let key = RuleKey(self.fields.key(fields)?);
        let rule = Rule::new(action, self.values.key(values).map_err(QosError::Values)?)?;
        self.rules.insert(key, rule, NEVER_NS, 0).map(drop).map_err(|full| QosError::Full(full.capacity))
    }

    /// Takes the rule with these fields out. `false` where there is none.
    ///
    /// # Errors
    /// What is wrong with the fields.
    pub fn delete(&mut self, fields: &[Vec<u8>]) -> Result<bool, QosError> {
        let key = RuleKey(self.fields.key(fields)?);
        let found = self.rules.find(&key, 0);
        Ok(found.and_then(|id| self.rules.remove(id)).is_some())
    }

    /// Takes all rules out.
    pub fn clear(&mut self) {
        self.rules = FlowTable::with_hasher(self.rules.capacity(), self.hasher);
    }

    /// The rules, in no order.
    pub fn rules(&self) -> impl Iterator<Item = QosRule> {
        self.rules.iter().map(|(_, key, rule)| QosRule {
            fields: self.fields.values(&key.0),
            values: if self.values.is_empty() { Vec::new() } else { self.values.values(&rule.values) },
            action: match &rule.meter {
                Some((.., meter)) => QosAction::Meter(**meter),
                None => QosAction::Gate(rule.gate),
            },
        })
    }

    /// Where packets go that no rule matches.
    pub fn default_gate(&self) -> Gate {
        self.default_gate
    }

    /// Says where packets go that no rule matches.
    pub fn set_default_gate(&mut self, gate: Gate) {
        self.default_gate = gate;
    }
}

impl Module for Qos {
    fn class(&self) -> &'static str {
        "Qos"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn attributes(&self) -> Vec<Attribute> {
        self.fields.attributes(Access::Read).chain(self.values.attributes(Access::Write)).collect()
    }

    fn place(&mut self, places: &[Place]) {
        let places = self.fields.place(places);
        self.values.place(places);
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let now_ns = ctx.now_ns();
        let count = batch.len();
        let mut keys = [RuleKey([0; KEY_WORDS]); BATCH];
        let mut whole = [false; BATCH];
        for ((key, whole), packet) in keys.iter_mut().zip(&mut whole).zip(&*batch) {
            if let Some(gathered) = self.fields.gather(packet) {
                (*key, *whole) = (RuleKey(gathered), true);
            }
        }
        let mut found = [None; BATCH];
        self.rules.find_batch(&keys[..count], 0, &mut found);
        let mut gates = [self.default_gate; BATCH];
        for (lane, packet) in batch.iter_mut().enumerate() {
            let rule = found[lane].filter(|_| whole[lane]).and_then(|id| self.rules.get_mut(id));
            let Some(rule) = rule else { continue };
            gates[lane] = rule.judge(packet, now_ns);
            self.values.write(&rule.values, packet);
        }
        send(ctx, batch, &gates[..count]);
    }

    fn status(&self) -> String {
        format!("{} fields, {} rules", self.fields.len(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::Field;
    use super::super::frames::packet;
    use super::*;
    use crate::engine::rig::{Own, Rig};

    const METER: Meter =
        Meter { committed: 1000, peak: 2000, committed_burst: 100, peak_burst: 200, deducted: 14 };

    fn qos(entries: usize) -> Own<Qos> {
        let fields = Fields::new(vec![Field::attribute("session", 4), Field::at(0, 1)]).unwrap();
        let values = Fields::new(vec![Field::attribute("qfi", 1)]).unwrap();
        Rig::new(Qos::new(fields, values, entries, 1))
    }

    fn fields(session: u32, first: u8) -> Vec<Vec<u8>> {
        vec![session.to_ne_bytes().to_vec(), vec![first]]
    }

    fn frame(rig: &Own<Qos>, session: u32, length: usize) -> Packet {
        let mut packet = packet(&vec![5; length]);
        rig.place("session").write(&mut packet, session.to_ne_bytes());
        rig.place("qfi").write(&mut packet, [0xff]);
        packet
    }

    /// Where packets of these lengths go, one after the other.
    fn gates(rig: &mut Own<Qos>, session: u32, lengths: &[usize]) -> Vec<Gate> {
        let send = |length: &usize| {
            let packet = frame(rig, session, *length);
            rig.process(0, [packet]).first().map_or(DROP, |(gate, _)| *gate)
        };
        lengths.iter().map(send).collect()
    }

    #[test]
    fn colours_have_their_gates() {
        let mut rig = qos(10);
        rig.module.add(&fields(7, 5), &[vec![3]], QosAction::Meter(METER)).unwrap();
        // Of 100 committed and 200 peak bytes, 60 each but for the Ethernet header.
        assert_eq!(gates(&mut rig, 7, &[74, 74, 74, 74, 34, 14]), [GREEN, YELLOW, YELLOW, RED, GREEN, GREEN]);
        // In 50 ms come 50 committed bytes, beside the 20 that were left, and 100 peak bytes.
        rig.at(50_000_000);
        assert_eq!(gates(&mut rig, 7, &[84, 44, 34]), [GREEN, YELLOW, RED]);
        // Adding it again fills the bursts.
        rig.module.add(&fields(7, 5), &[vec![3]], QosAction::Meter(METER)).unwrap();
        assert_eq!(gates(&mut rig, 7, &[114]), [GREEN]);
    }

    #[test]
    fn rules_name_gates_and_write_values() {
        let mut rig = qos(10);
        rig.module.add(&fields(1, 5), &[vec![9]], QosAction::Gate(4)).unwrap();
        rig.module.add(&fields(2, 5), &[vec![8]], QosAction::Meter(METER)).unwrap();
        rig.module.add(&fields(3, 6), &[vec![7]], QosAction::Gate(4)).unwrap();
        let packets = [frame(&rig, 1, 60), frame(&rig, 2, 60), frame(&rig, 3, 60)];
        let left = rig.process(0, packets);
        let said: Vec<(Gate, [u8; 1])> =
            left.iter().map(|(gate, packet)| (*gate, rig.place("qfi").read(packet))).collect();
        assert_eq!((said, rig.dropped), (vec![(4, [9]), (1, [8])], 1));
        rig.module.set_default_gate(6);
        let packets = [frame(&rig, 3, 60), packet(b"")];
        let left = rig.process(0, packets);
        assert!(left.len() == 2 && left.iter().all(|(gate, _)| *gate == 6));
        assert_eq!(rig.module.status(), "2 fields, 3 rules");
    }

    #[test]
    fn rules_go_one_by_one_or_all_at_once() {
        let mut rig = qos(10);
        (1..=5)
            .for_each(|session| rig.module.add(&fields(session, 5), &[vec![0]], QosAction::Gate(4)).unwrap());
        assert_eq!(
            (rig.module.delete(&fields(3, 5)), rig.module.delete(&fields(3, 5))),
            (Ok(true), Ok(false))
        );
        assert_eq!((gates(&mut rig, 3, &[60]), gates(&mut rig, 4, &[60])), (vec![DROP], vec![4]));
        rig.module.clear();
        assert!(rig.module.is_empty());
        assert_eq!(gates(&mut rig, 4, &[60]), [DROP]);
        rig.module.add(&fields(4, 5), &[vec![0]], QosAction::Gate(4)).unwrap();
        assert_eq!(gates(&mut rig, 4, &[60]), [4]);
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let mut rig = qos(1);
        let mut wrong = |fields: &[Vec<u8>], values: &[Vec<u8>], action| {
            rig.module.add(fields, values, action).unwrap_err()
        };
        assert!(matches!(wrong(&[], &[vec![0]], QosAction::Gate(4)), QosError::Fields(_)));
        assert!(matches!(wrong(&fields(1, 5), &[], QosAction::Gate(4)), QosError::Values(_)));
        for gate in [0, 1, 2, 3, DROP + 1] {
            assert_eq!(wrong(&fields(1, 5), &[vec![0]], QosAction::Gate(gate)), QosError::Gate(gate));
        }
        let mut meter = |meter| wrong(&fields(1, 5), &[vec![0]], QosAction::Meter(meter));
        assert_eq!(meter(Meter { committed: 0, ..METER }), QosError::NoRate { committed: 0, peak: 2000 });
        assert!(matches!(meter(Meter { peak: 999, ..METER }), QosError::Meter(_)));
        assert!(matches!(meter(Meter { peak_burst: 0, ..METER }), QosError::Meter(_)));
        rig.module.add(&fields(1, 5), &[vec![0]], QosAction::Gate(4)).unwrap();
        assert_eq!(rig.module.add(&fields(2, 5), &[vec![0]], QosAction::Gate(4)), Err(QosError::Full(1)));
        assert_eq!(rig.module.add(&fields(1, 5), &[vec![0]], QosAction::Gate(5)), Ok(()));
    }
}
