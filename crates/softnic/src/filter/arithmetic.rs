//! Numbers computed from a packet.

use super::lexer::Token;
use super::parser::{Parser, Protocol};
use super::primitive::ICMP6;
use super::program::{Base, Load, Node, Operation, Operator, Relation, STACK, Test};
use super::{FilterError, names};

/// A number, and what must hold for it to be there.
pub(super) struct Value {
    guard: Option<Node>,
    operations: Vec<Operation>,
    /// Numbers that wait while it is computed, itself among them.
    stack: usize,
}

/// An operator that waits for what is behind it.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    Negate,
    Binary(Operator),
}

impl Waiting {
    /// How strongly it binds. libpcap's grammar does not say it of two, and where one of them meets another operator the
    /// right one is computed first.
    fn strength(self) -> Option<u8> {
        match self {
            Self::Negate => Some(6),
            Self::Binary(Operator::Multiply | Operator::Divide) => Some(5),
            Self::Binary(Operator::Add | Operator::Subtract) => Some(4),
            Self::Binary(Operator::Left | Operator::Right) => Some(3),
            Self::Binary(Operator::And) => Some(2),
            Self::Binary(Operator::Or) => Some(1),
            Self::Binary(Operator::Remainder | Operator::Xor) => None,
        }
    }

    /// Whether it is computed before `next`, which is to its right.
    fn is_before(self, next: Self) -> bool {
        self.strength().zip(next.strength()).is_some_and(|(this, next)| this >= next)
    }
}

fn operator(token: &Token) -> Option<Operator> {
    let Token::Sign(sign) = token else { return None };
    Some(match *sign {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Remainder,
        "&" => Operator::And,
        "|" => Operator::Or,
        "^" => Operator::Xor,
        "<<" => Operator::Left,
        ">>" => Operator::Right,
        _ => return None,
    })
}

/// The relation that a sign stands for, or the one whose opposite it stands for.
fn relation(token: &Token) -> Option<(Relation, bool)> {
    let Token::Sign(sign) = token else { return None };
    Some(match *sign {
        "=" => (Relation::Equal, true),
        "!=" => (Relation::Equal, false),
        ">" => (Relation::Greater, true),
        "<=" => (Relation::Greater, false),
        ">=" => (Relation::AtLeast, true),
        "<" => (Relation::AtLeast, false),
        _ => return None,
    })
}

/// Whether a word can only stand behind a number.
pub(super) fn follows_number(token: Option<&Token>) -> bool {
    token.is_some_and(|token| operator(token).is_some() || relation(token).is_some())
}

fn both(first: Option<Node>, second: Option<Node>) -> Option<Node> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.and(second)),
        (first, second) => first.or(second),
    }
}

impl Parser {
    /// A comparison of two numbers.
    pub(super) fn comparison(&mut self) -> Result<Node, FilterError> {
        let left = self.number()?;
        let sign = self.peek().and_then(relation);
        let (relation, holds) = sign.ok_or_else(|| self.wrong("=, !=, <, >, <= or >= is wanted"))?;
        self.advance();
        let right = self.number()?;
        let guard = both(left.guard, right.guard);
        let test = Node::Test(test(left.operations, relation, right.operations));
        let test = if holds { test } else { test.negated() };
        Ok(match guard {
            Some(guard) => guard.and(test),
            None => test,
        })
    }

    fn number(&mut self) -> Result<Value, FilterError> {
        let (mut values, mut waiting) = (Vec::new(), Vec::new());
        loop {
            while self.peek() == Some(&Token::Sign("-")) {
                self.advance();
                waiting.push(Waiting::Negate);
            }
            values.push(self.operand()?);
            let Some(next) = self.peek().and_then(operator).map(Waiting::Binary) else { break };
            while let Some(last) = waiting.pop_if(|last| last.is_before(next)) {
                self.apply(&mut values, last)?;
            }
            waiting.push(next);
            self.advance();
        }
        while let Some(last) = waiting.pop() {
            self.apply(&mut values, last)?;
        }
        values.pop().ok_or_else(|| self.wrong("a number is wanted"))
    }

    fn apply(&self, values: &mut Vec<Value>, operator: Waiting) -> Result<(), FilterError> {
        let lost = || self.wrong("a number is wanted");
        let mut right = values.pop().ok_or_else(lost)?;
        let Waiting::Binary(operator) = operator else {
            right.operations.push(Operation::Negate);
            values.push(right);
            return Ok(());
        };
        match (operator, right.operations.as_slice()) {
            (Operator::Divide | Operator::Remainder, [Operation::Number(0)]) => {
                return Err(self.wrong("division by zero"));
            }
            (Operator::Left | Operator::Right, [Operation::Number(32..)]) => {
                return Err(self.wrong("shift by more than 31 bits"));
            }
            _ => {}
        }
        let mut left = values.pop().ok_or_else(lost)?;
        left.stack = left.stack.max(right.stack + 1);
        if left.stack > STACK {
            return Err(self.wrong("the numbers are nested too deeply"));
        }
        left.operations.append(&mut right.operations);
        left.operations.push(Operation::Binary(operator));
        // libpcap asks for the protocol of the left one alone.
        values.push(left);
        Ok(())
    }

    fn operand(&mut self) -> Result<Value, FilterError> {
        let plain = |operation| Ok(Value { guard: None, operations: vec![operation], stack: 1 });
        if let Some(number) = self.constant() {
            return plain(Operation::Number(number));
        }
        if self.take_word("len") {
            return plain(Operation::Length);
        }
        if self.take_sign("(") {
            self.enter()?;
            let value = self.number()?;
            self.leave()?;
            return Ok(value);
        }
        let Some(protocol) = self.take_protocol() else { return Err(self.wrong("a number is wanted")) };
        self.expect_sign("[")?;
        self.enter()?;
        let index = self.number()?;
        let (colon, at) = (self.take_sign(":"), self.at);
        let bytes = match colon.then(|| self.constant()) {
            None => 1,
            Some(Some(bytes @ (1 | 2 | 4))) => bytes,
            Some(_) => {
                self.at = at;
                return Err(self.wrong("data size must be 1, 2, or 4"));
            }
        };
        self.expect_sign("]")?;
        self.depth -= 1;
        self.load(protocol, index, bytes)
    }

    /// A number, or a name that stands for one.
    pub(super) fn constant(&mut self) -> Option<u32> {
        let number = match self.peek()? {
            Token::Number(number) => *number,
            Token::Word(name) => names::constant(name)?,
            _ => return None,
        };
        self.advance();
        Some(number)
    }

    /// Bytes of a protocol's header, where the packet is of it.
    fn load(&self, protocol: Protocol, mut index: Value, bytes: u32) -> Result<Value, FilterError> {
        let layout = self.layout;
        let at = |offset| Load { base: Base::Frame, offset, bytes };
        let of = |node: Node, index: &mut Value| both(index.guard.take(), Some(node));
        let (load, guard) = match protocol {
            Protocol::Ethernet => (at(0), index.guard.take()),
            Protocol::Ip | Protocol::Ip6 | Protocol::Arp | Protocol::Rarp => {
                (at(layout.network()), of(self.packets_of(protocol)?, &mut index))
            }
            Protocol::Icmp6 => (at(layout.network() + 40), of(layout.directly_over_ip6(ICMP6), &mut index)),
            Protocol::Ah | Protocol::Esp => return Err(self.wrong("there is no index into it")),
            _ => {
                let load = Load { base: Base::BehindIpv4(layout.network()), offset: layout.network(), bytes };
                let inner = self.packets_of(protocol)?.and(layout.first_fragment());
                let inner = both(index.guard.take(), Some(inner));
                (load, both(Some(self.packets_of(Protocol::Ip)?), inner))
            }
        };
        index.operations.push(Operation::Load(load));
        Ok(Value { guard, ..index })
    }
}

/// A comparison, as one of bytes where it is one.
fn test(left: Vec<Operation>, relation: Relation, right: Vec<Operation>) -> Test {
    let plain = match (left.as_slice(), right.as_slice()) {
        ([Operation::Number(index), Operation::Load(load)], [Operation::Number(value)]) => {
            Some((*index, *load, u32::MAX, *value))
        }
        (
            [
                Operation::Number(index),
                Operation::Load(load),
                Operation::Number(mask),
                Operation::Binary(Operator::And),
            ],
            [Operation::Number(value)],
        ) => Some((*index, *load, *mask, *value)),
        ([Operation::Length], [Operation::Number(value)]) => {
            return Test::Length { relation, value: *value };
        }
        _ => None,
    };
    match plain
        .and_then(|(index, load, mask, value)| Some((load.offset.checked_add(index)?, load, mask, value)))
    {
        Some((offset, load, mask, value)) => {
            Test::Bytes { load: Load { offset, ..load }, mask, relation, value }
        }
        None => Test::Computed { left, relation, right },
    }
}
