//! What a configuration file can say.

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Its statements, in order.
    pub statements: Vec<Statement>,
}

/// A statement and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub kind: StatementKind,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `port NAME DRIVER(…)`.
    Port(String, Call),
    /// `worker N [core=C]`.
    Worker {
        /// Its number.
        number: u64,
        /// The core to pin it to.
        core: Option<u64>,
    },
    /// `class NAME POLICY(…) PLACE`.
    Class {
        /// Its name.
        name: String,
        /// Its policy.
        policy: String,
        /// Resource, limit, burst.
        parameters: Vec<Value>,
        /// Where it stands.
        place: Place,
    },
    /// `attach MODULE[:TASK] PLACE`.
    Attach {
        /// The module.
        module: String,
        /// Which of its tasks.
        task: u64,
        /// Where it goes.
        place: Place,
    },
    /// A chain of modules; one alone creates it.
    Chain(Chain),
    /// `MODULE.COMMAND(…)`.
    Command(String, Call),
    /// `hook CLASS(…) MODULE in|out GATE`.
    Hook {
        /// The class of the hook, and its argument.
        call: Call,
        /// The module.
        module: String,
        /// Whether it is an input gate.
        input: bool,
        /// The gate.
        gate: u64,
    },
}

/// Where a class or a task stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// At the top of a worker.
    pub worker: Option<u64>,
    /// Under a class.
    pub under: Option<String>,
    /// Its share there.
    pub share: Option<u64>,
    /// Its priority there.
    pub priority: Option<u64>,
}

/// Modules, each connected to the next.
pub type Chain = Vec<Step>;

/// A module in a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The input gate by which it is entered.
    pub input: u64,
    /// Its name, if it has been given one.
    pub name: Option<String>,
    /// What it is, if it is created here.
    pub create: Option<Call>,
    /// The output gate by which it is left.
    pub output: u64,
}

/// A name with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The class or command.
    pub name: String,
    /// The arguments by name, in order.
    pub arguments: Vec<(String, Value)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Text, or a bare word.
    Text(String),
    /// `hex"…"`.
    Bytes(Vec<u8>),
    /// `[…]`.
    List(Vec<Value>),
    /// `{…}`.
    Record(Vec<(String, Value)>),
}
