//! Keeps the methods that components offer as JSON-RPC 2.0.
//!
//! `web.webcore` serves them at `/rpc` and over WebSocket, `py` calls them from the terminal. Its own: `core.methods` lists them,
//! `core.components` tells how components fare, `core.quit` ends the controller.
//!
//! Launch: `weft pox web.jsonrpc openflow.of_service web.webcore`

use serde_json::{Value, json};

use crate::rpc::Methods;
use crate::{Component, Core, Options, OptionsError};

pub(crate) fn build(_: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let mut methods = Methods::default();
    methods.offer("core.methods", "all methods and what they do", |core: &mut Core, _, reply| {
        let list: serde_json::Map<String, Value> = core
            .find::<Methods>()
            .map(|methods| methods.list().map(|(name, help)| (name.to_owned(), help.into())).collect())
            .unwrap_or_default();
        reply.send(Ok(list.into()));
    });
    methods.offer(
        "core.components",
        "components: events handled, failures, the last of them",
        |core, _, reply| {
            let list = core.health().into_iter().map(|health| {
            let (name, failure) = (health.name.to_string(), health.last_failure);
            (name, json!({ "handled": health.handled, "failures": health.failures, "last_failure": failure }))
        });
            reply.send(Ok(Value::Object(list.collect())));
        },
    );
    methods.offer("core.quit", "ends the controller", |core, _, reply| {
        core.quit();
        reply.send(Ok(json!(true)));
    });
    Ok(Box::new(methods))
}
