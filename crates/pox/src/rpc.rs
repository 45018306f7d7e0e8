//! JSON-RPC 2.0: methods that components offer to programs outside, over whatever carries text.
//!
//! The `web.jsonrpc` component keeps the methods; HTTP, WebSocket and the shell carry requests to [`handle`] and answers back.
//! Methods run on the core's thread, and may answer later, when a switch has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use thiserror::Error;

use crate::{Component, Core, Result};

/// Requests of one batch.
pub const BATCH_MAX: usize = 128;
/// Bytes of one request, batch or message.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Methods that may be offered.
pub const METHODS_MAX: usize = 1_024;

/// Code of a request for a method that is not there.
pub const NO_METHOD: i64 = -32601;

/// Why a request has no result (JSON-RPC 2.0, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct RpcError {
    /// -32700 not JSON, -32600 no request, -32601 no such method, -32602 wrong parameters, -32000 all else.
    pub code: i64,
    /// What is wrong.
    pub message: String,
}

impl RpcError {
    /// Parameters that are missing or wrong.
    pub fn parameters(message: impl Into<String>) -> Self {
        Self { code: -32602, message: message.into() }
    }

    /// What was asked for could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: -32000, message: message.into() }
    }
}

type Take = Box<dyn FnOnce(Result<Value, RpcError>)>;

/// What takes an answer. One that is dropped answers that nobody did.
pub struct Reply(Option<Take>);

impl Reply {
    fn new(take: impl FnOnce(Result<Value, RpcError>) + 'static) -> Self {
        Self(Some(Box::new(take)))
    }

    /// Answers.
    pub fn send(mut self, answer: Result<Value, RpcError>) {
        if let Some(take) = self.0.take() {
            take(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(take) = self.0.take() {
            take(Err(RpcError::failed("the method gave no answer")));
        }
    }
}

type Method = Rc<dyn Fn(&mut Core, &Value, Reply)>;

/// The methods on offer. The component `web.jsonrpc`.
#[derive(Default)]
pub struct Methods {
    methods: BTreeMap<String, (Method, &'static str)>,
}

impl Component for Methods {}

impl Methods {
    /// Offers a method under a name, `openflow.get_switches`, with a line that says what it does; replaces one of that name.
    pub fn offer(
        &mut self,
        name: &str,
        help: &'static str,
        method: impl Fn(&mut Core, &Value, Reply) + 'static,
    ) {
        if self.methods.len() < METHODS_MAX || self.methods.contains_key(name) {
            self.methods.insert(name.to_owned(), (Rc::new(method), help));
        }
    }

    /// Names and help of all methods.
    pub fn list(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.methods.iter().map(|(name, (_, help))| (name.as_str(), *help))
    }

    /// A method by its name, or by what stands behind its first dot, as POX's clients say it, where that is one only.
    fn find(&self, name: &str) -> Option<Method> {
        if let Some((method, _)) = self.methods.get(name) {
            return Some(Rc::clone(method));
        }
        let mut short = self
            .methods
            .iter()
            .filter(|(full, _)| full.split_once('.').is_some_and(|(_, short)| short == name));
        match (short.next(), short.next()) {
            (Some((_, (method, _))), None) => Some(Rc::clone(method)),
            _ => None,
        }
    }
}

/// Calls a method.
pub fn call(
    core: &mut Core,
    method: &str,
    parameters: &Value,
    answer: impl FnOnce(Result<Value, RpcError>) + 'static,
) {
    let found = core.find::<Methods>().and_then(|methods| methods.find(method));
    let reply = Reply::new(answer);
    match found {
        // Whoever calls, the method acts for nobody: what it asks of switches is answered to it.
        Some(method) => core.as_outside(|core| method(core, parameters, reply)),
        None => {
            let message = format!("there is no method '{}'", method.chars().take(80).collect::<String>());
            reply.send(Err(RpcError { code: NO_METHOD, message }));
        }
    }
}

/// Answers a request or a batch; with nothing where all were notifications.
pub fn handle(core: &mut Core, text: &str, respond: impl FnOnce(Option<String>) + 'static) {
    let wrong = |code, message: &str| json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } });
    let (requests, batch) = match serde_json::from_str(text) {
        Ok(Value::Array(requests)) if requests.is_empty() => {
            return respond(Some(wrong(-32600, "an empty batch").to_string()));
        }
        Ok(Value::Array(requests)) if requests.len() > BATCH_MAX => {
            return respond(Some(wrong(-32600, "too many requests in a batch").to_string()));
        }
        Ok(Value::Array(requests)) => (requests, true),
        Ok(request) => (vec![request], false),
        Err(error) => return respond(Some(wrong(-32700, &error.to_string()).to_string())),
    };
    let gathering = Rc::new(RefCell::new(Gathering {
        answers: vec![None; requests.len()],
        left: requests.len(),
        batch,
        respond: Some(Box::new(respond)),
    }));
    for (at, request) in requests.into_iter().enumerate() {
        let gathering = Rc::clone(&gathering);
        let id = request.get("id").cloned();
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            Gathering::put(&gathering, at, Some(wrong(-32600, "a request names a method")));
            continue;
        };
        let nothing = Value::Null;
        let parameters = request.get("params").unwrap_or(&nothing);
        call(core, method, parameters, move |answer| {
            let answer = id.map(|id| match answer {
                Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
                Err(RpcError { code, message }) => {
                    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
                }
            });
            Gathering::put(&gathering, at, answer);
        });
    }
}

/// The answers of a batch, as they come.
struct Gathering {
    answers: Vec<Option<Value>>,
    left: usize,
    batch: bool,
    respond: Option<Box<dyn FnOnce(Option<String>)>>,
}

impl Gathering {
    fn put(this: &Rc<RefCell<Self>>, at: usize, answer: Option<Value>) {
        let mut gathering = this.borrow_mut();
        gathering.answers[at] = answer;
        gathering.left -= 1;
        if gathering.left > 0 {
            return;
        }
        let mut answers: Vec<Value> = gathering.answers.drain(..).flatten().collect();
        let text = match (gathering.batch, answers.len()) {
            (_, 0) => None,
            (true, _) => Some(Value::Array(answers).to_string()),
            (false, _) => answers.pop().map(|answer| answer.to_string()),
        };
        let respond = gathering.respond.take();
        drop(gathering);
        if let Some(respond) = respond {
            respond(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Controller;

    fn ask(text: &str) -> Option<Value> {
        let mut controller = Controller::new();
        let mut methods = Methods::default();
        methods.offer("math.add", "adds two numbers", |_, parameters, reply| {
            match (parameters["a"].as_i64(), parameters["b"].as_i64()) {
                (Some(a), Some(b)) => reply.send(Ok(json!(a + b))),
                _ => reply.send(Err(RpcError::parameters("a and b are numbers"))),
            }
        });
        methods.offer("math.silent", "says nothing", |_, _, _| {});
        controller.core_mut().register("web.jsonrpc", methods).unwrap();
        let answer = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&answer);
        handle(controller.core_mut(), text, move |text| *kept.borrow_mut() = Some(text));
        let text = answer.borrow_mut().take().expect("an answer, once");
        text.map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn requests_are_answered_by_the_method_they_name() {
        let answer = ask(r#"{"jsonrpc":"2.0","id":7,"method":"math.add","params":{"a":1,"b":2}}"#).unwrap();
        assert_eq!((&answer["id"], &answer["result"]), (&json!(7), &json!(3)));
        assert_eq!(ask(r#"{"id":1,"method":"add","params":{"a":1,"b":2}}"#).unwrap()["result"], 3);
        assert_eq!(ask(r#"{"id":1,"method":"add"}"#).unwrap()["error"]["code"], -32602);
        assert_eq!(ask(r#"{"id":1,"method":"sub"}"#).unwrap()["error"]["code"], -32601);
        assert_eq!(ask(r#"{"id":1,"method":"silent"}"#).unwrap()["error"]["code"], -32000);
        assert_eq!(ask(r#"{"method":"add","params":{"a":1,"b":2}}"#), None, "a notification");
    }

    #[test]
    fn batches_are_answered_in_order_and_bounded() {
        let answer = ask(
            r#"[{"id":1,"method":"add","params":{"a":1,"b":1}},{"method":"silent"},{"id":2,"method":"no"},5]"#,
        );
        let answer = answer.unwrap();
        let ids: Vec<&Value> = answer.as_array().unwrap().iter().map(|answer| &answer["id"]).collect();
        assert_eq!(ids, [&json!(1), &json!(2), &Value::Null]);
        let many = format!("[{}]", vec!["1"; BATCH_MAX + 1].join(","));
        for wrong in ["", "[]", "{", &many, "5", r#"{"method":5}"#] {
            assert!(ask(wrong).unwrap()["error"]["code"].is_i64(), "{wrong}");
        }
    }
}
