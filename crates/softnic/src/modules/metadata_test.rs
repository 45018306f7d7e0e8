//! [`MetadataTest`].

use packet::Batch;

use crate::engine::{Attribute, Context, GATES_MAX, Gate, Module};

/// Declares attributes and does nothing with them: to see where they are placed.
///
/// *Input gates*: any. *Output gates*: any; what comes in at gate N leaves at gate N. *Attributes*: those that it is told.
///
/// ```
/// use softnic::engine::Attribute;
/// let reader = softnic::modules::MetadataTest::new(vec![Attribute::read("foo", 2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MetadataTest {
    attributes: Vec<Attribute>,
}

impl MetadataTest {
    /// Declares these attributes.
    pub fn new(attributes: Vec<Attribute>) -> Self {
        Self { attributes }
    }
}

impl Module for MetadataTest {
    fn class(&self) -> &'static str {
        "MetadataTest"
    }

    fn inputs(&self) -> Gate {
        GATES_MAX
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn attributes(&self) -> Vec<Attribute> {
        self.attributes.clone()
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, _batch: &mut Batch) {
        ctx.forward(gate);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packets;
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn the_gates_are_joined_one_to_one() {
        let attributes = vec![Attribute::read("foo", 2), Attribute::update("bar", 4)];
        let mut rig = Rig::new(MetadataTest::new(attributes.clone()));
        assert_eq!(rig.module.attributes(), attributes);
        for gate in [0, 7, GATES_MAX - 1] {
            let left = rig.process(gate, packets(2));
            assert!(left.len() == 2 && left.iter().all(|(at, _)| *at == gate));
        }
    }
}
