//! What a filter is compiled to: tests, each of which says which one is next, and none of which leads back.

/// Where an address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The start of the frame.
    Frame,
    /// Behind the IPv4 header that starts at this place.
    BehindIpv4(u32),
}

/// Bytes of a frame, as a number whose first byte is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) base: Base,
    pub(super) offset: u32,
    /// 1, 2 or 4.
    pub(super) bytes: u32,
}

impl Load {
    /// `None` where the frame ends before; `index` is added to the offset.
    #[inline]
    fn read(self, frame: &[u8], index: u32) -> Option<u32> {
        let base = match self.base {
            Base::Frame => 0,
            Base::BehindIpv4(at) => usize::from(frame.get(at as usize)? & 0xf) * 4,
        };
        let rest = frame.get(base.checked_add(self.offset as usize)?.checked_add(index as usize)?..)?;
        match self.bytes {
            1 => rest.first().map(|byte| u32::from(*byte)),
            2 => rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into()),
            _ => rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        }
    }
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Greater,
    AtLeast,
    /// They have a bit in common.
    Shares,
}

impl Relation {
    #[inline]
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
            Self::Shares => left & right != 0,
        }
    }
}

/// An operator of arithmetic, on 32 bits without sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    Left,
    Right,
}

impl Operator {
    /// `None` for a division by zero.
    fn of(self, left: u32, right: u32) -> Option<u32> {
        Some(match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => left.checked_div(right)?,
            Self::Remainder => left.checked_rem(right)?,
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::Left => left.checked_shl(right).unwrap_or(0),
            Self::Right => left.checked_shr(right).unwrap_or(0),
        })
    }
}

/// A step of arithmetic, on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Number(u32),
    /// The length of the packet on the wire.
    Length,
    /// Takes the index off the stack.
    Load(Load),
    Negate,
    Binary(Operator),
}

/// The most numbers that wait on the stack.
pub(super) const STACK: usize = 64;

fn compute(operations: &[Operation], frame: &[u8], length: u32) -> Option<u32> {
    let (mut stack, mut used) = ([0u32; STACK], 0);
    for operation in operations {
        let value = match *operation {
            Operation::Number(number) => number,
            Operation::Length => length,
            Operation::Load(load) => {
                used -= 1;
                load.read(frame, stack[used])?
            }
            Operation::Negate => {
                used -= 1;
                stack[used].wrapping_neg()
            }
            Operation::Binary(operator) => {
                used -= 2;
                operator.of(stack[used], stack[used + 1])?
            }
        };
        *stack.get_mut(used)? = value;
        used += 1;
    }
    stack.first().copied()
}

/// A test of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Bytes under a mask, and a number.
    Bytes { load: Load, mask: u32, relation: Relation, value: u32 },
    /// The length of the packet, and a number.
    Length { relation: Relation, value: u32 },
    /// Two numbers.
    Computed { left: Vec<Operation>, relation: Relation, right: Vec<Operation> },
}

impl Test {
    /// `None` where something is asked of bytes that are not there, or divided by zero.
    #[inline]
    fn holds(&self, frame: &[u8], length: u32) -> Option<bool> {
        match self {
            Self::Bytes { load, mask, relation, value } => {
                Some(relation.holds(load.read(frame, 0)? & mask, *value))
            }
            Self::Length { relation, value } => Some(relation.holds(length, *value)),
            Self::Computed { left, relation, right } => {
                Some(relation.holds(compute(left, frame, length)?, compute(right, frame, length)?))
            }
        }
    }
}

/// A filter as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Everything passes.
    True,
    Test(Test),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
}

impl Node {
    pub(super) fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }

    pub(super) fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// Where a test leads to.
const PASS: u32 = u32::MAX;
const FAIL: u32 = u32::MAX - 1;

#[derive(Clone, Debug)]
struct Step {
    test: Test,
    yes: u32,
    no: u32,
}

/// A filter as it is run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Every step leads to ones before it.
    steps: Vec<Step>,
    first: u32,
}

impl Program {
    pub(super) fn new(node: Node) -> Self {
        let mut program = Self { steps: Vec::new(), first: PASS };
        program.first = program.lay(node, PASS, FAIL);
        program
    }

    /// Lays a part in front of what follows it either way; where it begins.
    fn lay(&mut self, node: Node, yes: u32, no: u32) -> u32 {
        match node {
            Node::True => yes,
            Node::Not(node) => self.lay(*node, no, yes),
            Node::And(first, second) => {
                let second = self.lay(*second, yes, no);
                self.lay(*first, second, no)
            }
            Node::Or(first, second) => {
                let second = self.lay(*second, yes, no);
                self.lay(*first, yes, second)
            }
            Node::Test(test) => {
                self.steps.push(Step { test, yes, no });
                self.steps.len() as u32 - 1
            }
        }
    }

    /// Whether a frame passes. One that ends before the bytes that are asked for does not, whatever is asked of them.
    #[inline]
    pub(super) fn passes(&self, frame: &[u8], length: u32) -> bool {
        let mut at = self.first;
        while let Some(step) = self.steps.get(at as usize) {
            match step.test.holds(frame, length) {
                Some(true) => at = step.yes,
                Some(false) => at = step.no,
                None => return false,
            }
        }
        at == PASS
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }
}
