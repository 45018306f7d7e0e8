//! From text to statements.

use super::lexer::{Lexer, Placed, Token};
use super::statement::{Call, Parsed, Place, Statement, StatementKind, Step, Value};

/// Bytes of the longest file.
const FILE_MAX: usize = 16 << 20;
/// How deep lists and records may stand in each other.
const DEPTH_MAX: usize = 16;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

/// Reads a file.
///
/// ```
/// use softnic::config::{StatementKind, parse};
/// let parsed = parse("in::Source(pkt_size=64) -> Sink()  # as fast as it goes")?;
/// let StatementKind::Chain(chain) = &parsed.statements[0].kind else { panic!() };
/// assert_eq!(chain.len(), 2);
/// assert_eq!(parse("a -> ").unwrap_err().to_string(), "line 1, column 6: a module is wanted, not the end of the line");
/// # Ok::<(), softnic::config::SyntaxError>(())
/// ```
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str) -> Result<Parsed, SyntaxError> {
    if text.len() > FILE_MAX {
        return Err(SyntaxError {
            line: 1,
            column: 1,
            problem: format!("a file has at most {FILE_MAX} bytes"),
        });
    }
    let mut parser = Parser { tokens: Lexer::new(text).all()?, at: 0 };
    let mut parsed = Parsed::default();
    while parser.at + 1 < parser.tokens.len() {
        if parser.accept(&Token::End) {
            continue;
        }
        let line = parser.tokens[parser.at].line;
        let kind = parser.statement()?;
        parser.expect(&Token::End)?;
        parsed.statements.push(Statement { line, kind });
    }
    Ok(parsed)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last token is an end that is never taken.
        &self.tokens[self.at.min(self.tokens.len() - 1)].token
    }

    fn second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].token
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn wanted(&self, what: &str) -> SyntaxError {
        let Placed { token, line, column } = &self.tokens[self.at.min(self.tokens.len() - 1)];
        SyntaxError { line: *line, column: *column, problem: format!("{what} is wanted, not {token}") }
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.take();
        }
        found
    }

    fn sign(&mut self, sign: char) -> bool {
        self.accept(&Token::Sign(sign))
    }

    fn expect(&mut self, token: &Token) -> Result<(), SyntaxError> {
        if self.accept(token) { Ok(()) } else { Err(self.wanted(&token.to_string())) }
    }

    fn word(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.peek() {
            Token::Word(word) | Token::Text(word) => {
                let word = word.clone();
                self.take();
                Ok(word)
            }
            _ => Err(self.wanted(what)),
        }
    }

    fn number(&mut self, what: &str) -> Result<u64, SyntaxError> {
        let error = self.wanted(what);
        self.word(what)?.parse().map_err(|_| error)
    }

    fn statement(&mut self) -> Result<StatementKind, SyntaxError> {
        let keyword = match (self.peek(), self.second()) {
            (Token::Word(word), Token::Word(_) | Token::Text(_)) => word.clone(),
            _ => return self.pipeline(),
        };
        self.take();
        match keyword.as_str() {
            "port" => Ok(StatementKind::Port(self.word("a port's name")?, self.call("a driver")?)),
            "worker" => {
                let number = self.number("a worker's number")?;
                let core = if self.option("core")? { Some(self.number("a core")?) } else { None };
                Ok(StatementKind::Worker { number, core })
            }
            "class" => self.class(),
            "attach" => {
                let module = self.word("a module")?;
                let task = if self.sign(':') { self.number("a task's number")? } else { 0 };
                Ok(StatementKind::Attach { module, task, place: self.place(true)? })
            }
            "hook" => self.hook(),
            _ => {
                self.at -= 1;
                Err(self.wanted("port, worker, class, attach, hook, a chain of modules or MODULE.COMMAND(…)"))
            }
        }
    }

    fn class(&mut self) -> Result<StatementKind, SyntaxError> {
        let (name, policy) = (self.word("a class's name")?, self.word("a policy")?);
        let mut parameters = Vec::new();
        if self.sign('(') {
            while !self.sign(')') {
                parameters.push(self.value(0)?);
                if !self.sign(',') && *self.peek() != Token::Sign(')') {
                    return Err(self.wanted("`,` or `)`"));
                }
            }
        }
        Ok(StatementKind::Class { name, policy, parameters, place: self.place(false)? })
    }

    fn hook(&mut self) -> Result<StatementKind, SyntaxError> {
        let call = self.call("a hook's class")?;
        let module = self.word("a module")?;
        let error = self.wanted("`in` or `out`");
        let input = match self.word("`in` or `out`")?.as_str() {
            "in" => true,
            "out" => false,
            _ => return Err(error),
        };
        Ok(StatementKind::Hook { call, module, input, gate: self.number("a gate")? })
    }

    /// Whether `name=` comes next.
    fn option(&mut self, name: &str) -> Result<bool, SyntaxError> {
        if *self.peek() != Token::Word(name.to_owned()) {
            return Ok(false);
        }
        self.take();
        self.expect(&Token::Sign('=')).map(|()| true)
    }

    fn place(&mut self, bare: bool) -> Result<Place, SyntaxError> {
        let mut place = Place::default();
        if bare && matches!(self.peek(), Token::Word(_)) && *self.second() != Token::Sign('=') {
            place.under = Some(self.word("a class")?);
        }
        loop {
            if self.option("worker")? {
                place.worker = Some(self.number("a worker's number")?);
            } else if self.option("under")? {
                place.under = Some(self.word("a class")?);
            } else if self.option("share")? {
                place.share = Some(self.number("a share")?);
            } else if self.option("priority")? {
                place.priority = Some(self.number("a priority")?);
            } else {
                return Ok(place);
            }
        }
    }

    /// A chain, or a command.
    fn pipeline(&mut self) -> Result<StatementKind, SyntaxError> {
        if let Token::Word(word) = self.peek()
            && let Some((module, command)) = word.split_once('.')
            && *self.second() == Token::Sign('(')
        {
            let (module, name) = (module.to_owned(), command.to_owned());
            self.take();
            return Ok(StatementKind::Command(module, Call { name, arguments: self.arguments()? }));
        }
        let mut chain = vec![self.step()?];
        while self.accept(&Token::Arrow) {
            chain.push(self.step()?);
        }
        Ok(StatementKind::Chain(chain))
    }

    fn step(&mut self) -> Result<Step, SyntaxError> {
        let mut step = Step { input: 0, name: None, create: None, output: 0 };
        let mut first = self.word("a module")?;
        if *self.peek() == Token::Sign(':') && matches!(self.second(), Token::Word(word) if !is_number(word))
        {
            self.at -= 1;
            step.input = self.number("an input gate")?;
            self.take();
            first = self.word("a module")?;
        }
        if self.accept(&Token::Define) {
            step.name = Some(first);
            step.create = Some(self.call("a class")?);
        } else if *self.peek() == Token::Sign('(') {
            step.create = Some(Call { name: first, arguments: self.arguments()? });
        } else {
            step.name = Some(first);
        }
        if self.sign(':') {
            step.output = self.number("an output gate")?;
        }
        Ok(step)
    }

    fn call(&mut self, what: &str) -> Result<Call, SyntaxError> {
        let name = self.word(what)?;
        let arguments = if *self.peek() == Token::Sign('(') { self.arguments()? } else { Vec::new() };
        Ok(Call { name, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<(String, Value)>, SyntaxError> {
        self.expect(&Token::Sign('('))?;
        self.fields('=', ')', 0)
    }

    fn fields(
        &mut self,
        between: char,
        end: char,
        depth: usize,
    ) -> Result<Vec<(String, Value)>, SyntaxError> {
        let mut fields = Vec::new();
        while !self.sign(end) {
            let name = self.field(between)?;
            fields.push((name, self.value(depth + 1)?));
            if !self.sign(',') && *self.peek() != Token::Sign(end) {
                return Err(self.wanted(&format!("`,` or `{end}`")));
            }
        }
        Ok(fields)
    }

    /// A field's name and what separates it from its value. Inside brackets a colon is part of the word before it.
    fn field(&mut self, between: char) -> Result<String, SyntaxError> {
        let error = self.wanted("a field's name");
        let word = self.word("a field's name")?;
        if between == ':' {
            return match word.strip_suffix(':') {
                Some(name) if !name.is_empty() => Ok(name.to_owned()),
                _ => Err(error),
            };
        }
        self.expect(&Token::Sign(between))?;
        Ok(word)
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(self.wanted(&format!("a value that is at most {DEPTH_MAX} deep")));
        }
        if self.sign('[') {
            let mut list = Vec::new();
            while !self.sign(']') {
                list.push(self.value(depth + 1)?);
                if !self.sign(',') && *self.peek() != Token::Sign(']') {
                    return Err(self.wanted("`,` or `]`"));
                }
            }
            return Ok(Value::List(list));
        }
        if self.sign('{') {
            return Ok(Value::Record(self.fields(':', '}', depth)?));
        }
        let value = match self.peek() {
            Token::Text(text) => Value::Text(text.clone()),
            Token::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Token::Word(word) => bare(word),
            _ => return Err(self.wanted("a value")),
        };
        self.take();
        Ok(value)
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn bare(word: &str) -> Value {
    match word {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let digits = word.strip_prefix("0x").map(|digits| i128::from_str_radix(digits, 16));
    if let Ok(number) = digits.unwrap_or_else(|| word.parse()) {
        return Value::Integer(number);
    }
    let decimal = word.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
    match word.parse() {
        Ok(number) if decimal => Value::Float(number),
        _ => Value::Text(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Chain;

    fn chain(text: &str) -> Chain {
        match &parse(text).unwrap().statements[0].kind {
            StatementKind::Chain(chain) => chain.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn gates_stand_on_both_sides_of_a_module() {
        let chain = chain("a:1 -> 2:b:3 -> c::Sink()");
        let gates: Vec<_> =
            chain.iter().map(|step| (step.input, step.name.as_deref(), step.output)).collect();
        assert_eq!(gates, [(0, Some("a"), 1), (2, Some("b"), 3), (0, Some("c"), 0)]);
    }

    #[test]
    fn values_of_every_kind() {
        let text = "X(a=1, b=-2, c=0x1f, d=1.5, e=true, f=\"a\\nb\", g=10.0.0.0/8, h=[1, aa:bb:cc:dd:ee:ff], \
                    i={k: v, n: 2001:db8::1}, j=hex\"0a 0b\")";
        let step = &chain(text)[0];
        let arguments: Vec<Value> =
            step.create.as_ref().unwrap().arguments.iter().map(|(_, value)| value.clone()).collect();
        let word = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            arguments[..4],
            [Value::Integer(1), Value::Integer(-2), Value::Integer(31), Value::Float(1.5)]
        );
        assert_eq!(arguments[4..7], [Value::Bool(true), word("a\nb"), word("10.0.0.0/8")]);
        assert_eq!(arguments[7], Value::List(vec![Value::Integer(1), word("aa:bb:cc:dd:ee:ff")]));
        let record = vec![("k".to_owned(), word("v")), ("n".to_owned(), word("2001:db8::1"))];
        assert_eq!(arguments[8..], [Value::Record(record), Value::Bytes(vec![10, 11])]);
    }

    #[test]
    fn statements_of_every_kind() {
        let text = "port p UnixSocketPort(path=@x)\nworker 1 core=0\nclass c rate_limit(bit, 10, 5) worker=1\n\
                    class d weighted_fair(packet) under=c\nattach src:2 d share=3\nattach src worker=1\n\
                    tbl.add(prefix=10.0.0.0,\n prefix_len=8)\nhook TcpDump(fifo=\"/x\") src out 0\n";
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.statements.len(), 8);
        assert_eq!(parsed.statements[7].line, 9);
        let StatementKind::Attach { module, task, place } = &parsed.statements[4].kind else { panic!() };
        assert_eq!(
            (module.as_str(), *task, place.under.as_deref(), place.share),
            ("src", 2, Some("d"), Some(3))
        );
    }

    #[test]
    fn errors_say_where() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(error("a -> b\nc ->"), "line 2, column 5: a module is wanted, not the end of the line");
        assert_eq!(error("X(a=)"), "line 1, column 5: a value is wanted, not `)`");
        assert_eq!(error("X(a=\"b"), "line 1, column 7: the text does not end: `\"` is missing");
        assert!(error("x y z").starts_with("line 1, column 1: port, worker"));
        assert!(error(&format!("X(a={})", "[".repeat(1000))).contains("16 deep"));
    }
}
