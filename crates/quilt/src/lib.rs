//! Blueprints: JavaScript that says which programs run and who may talk to whom, made into a running network.
//!
//! ```text
//!  shop.js ──eval──▶ Blueprint ──check──▶ Blueprint, sound ──plan──▶ Plan ──runtime──▶ what runs
//!  (weft, …)         (model)    faults at          │     what runs ──┘
//!                               their lines        ├──compile──▶ program of the dataplane
//!                               ◀──────────────────┤
//!                                                  ├──reach──▶ why may a talk to b?
//!                                                  ├──graph──▶ a drawing
//!                                                  └──kubernetes──▶ manifests
//! ```
//!
//! Everything but [`runtime`] is a function of its arguments: no clock, no network, no processes. The script runs
//! in a sandbox ([`eval`]) that sees only the files below its own directory, and gives the same blueprint every
//! time. Its dialects are small modules over one record (`src/js`); nothing behind [`model`] knows which one was used.
//! [`original`] prints a deployment as the systems did that the old dialects come from.
//!
//! ```
//! use quilt::check::reach::allowed;
//! use quilt::eval::{Options, evaluate_text};
//! use quilt::model::Protocol::Tcp;
//! use quilt::plan::{Deployed, Plan};
//!
//! let text = "
//! import { Container, allow, publish } from 'weft';
//! const db = new Container('db', { command: ['redis-server'] });
//! const web = new Container('web', { command: ['nginx'], replicas: 2 });
//! allow(web, db, 6379);
//! publish(web, 8080, 80);
//! ";
//! let evaluation = evaluate_text("shop.js", text, &Options::default())?;
//! let shop = quilt::checked(evaluation, &|_secret| false)?.blueprint;
//!
//! // Who may talk to whom, and by which line.
//! assert_eq!(allowed(&shop, "web-1", "db", 6379, Tcp).unwrap().span.to_string(), "shop.js:5:1");
//! assert!(allowed(&shop, "db", "web-1", 80, Tcp).is_none());
//!
//! // What has to be done, from nothing and from there.
//! let plan = Plan::between(None, &shop).to_string();
//! assert_eq!(plan, "+ container db
//! + container web-1
//! + container web-2
//! + service web (web-1, web-2)
//! + link web -> db:6379
//! + publish 8080 -> web:80/tcp
//! ");
//! assert!(Plan::between(Some(&Deployed::of(&shop)), &shop).is_empty());
//!
//! // What is wrong, where, and what to do.
//! let wrong = text.replace("allow(web", "allow('wbe'");
//! let evaluation = evaluate_text("shop.js", &wrong, &Options::default())?;
//! assert!(evaluation.faults[0].to_string().starts_with("the link names 'wbe', which does not exist"));
//! # Ok::<(), quilt::fault::Faults>(())
//! ```
#![forbid(unsafe_code)]

pub mod address;
pub mod check;
pub mod cluster;
pub mod compile;
pub mod compose;
pub mod daemon;
pub mod eval;
pub mod fault;
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
pub mod images;
pub mod import;
pub mod kubernetes;
mod load;
pub mod machines;
pub mod model;
pub mod original;
pub mod plan;
pub mod policy;
pub mod runtime;
pub mod transition;
mod yaml;

pub use load::{Loaded, checked, load, secret};
