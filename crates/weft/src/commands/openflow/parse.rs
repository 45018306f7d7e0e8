//! `weft openflow parse`.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use miette::miette;
use openflow::codec;
use openflow::message::{Body, Message};
use openflow::text::{self, ParseError};
use serde::Serialize;

use super::{Version, hex, number, read, report};
use crate::commands::print_json;

/// Turn the text of a flow, a group, a meter or a message into the bytes of its message.
///
/// The text is what `ovs-ofctl` takes and prints: a flow's match and actions, unless it is said to be something else. An
/// error points at its place in the text.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft openflow parse 'priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2' --version 1.3\n  \
                        weft openflow parse --message 'OFPT_BARRIER_REQUEST (OF1.3) (xid=0x1):'"
)]
pub(crate) struct Parse {
    /// The text; `-` reads it from standard input
    #[arg(value_name = "TEXT")]
    text: String,
    /// The version of the protocol; a whole message says its own [default: 1.3]
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// The transaction id
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "message")]
    xid: u32,
    /// The text is a whole message, as `weft openflow print` prints it
    #[arg(long)]
    message: bool,
    /// The text is a group, such as group_id=1,type=all,bucket=output:1
    #[arg(long, conflicts_with = "message")]
    group: bool,
    /// The text is a meter, such as meter=1,kbps,band=type=drop,rate=1000
    #[arg(long, conflicts_with_all = ["message", "group"])]
    meter: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A message's bytes, for programs.
#[derive(Serialize)]
struct Encoded {
    version: &'static str,
    xid: u32,
    length: usize,
    hex: String,
    text: String,
}

impl Parse {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let text = match self.text.as_str() {
            "-" => String::from_utf8_lossy(&read(Path::new("-"))?).into_owned(),
            text => text.to_owned(),
        };
        let (said, message) = self.parsed(&text).map_err(|wrong| report(&text, &wrong))?;
        let version = self.version.map_or(said, openflow::Version::from);
        let mut bytes = Vec::new();
        codec::encode(version, &message, &mut bytes)
            .map_err(|error| miette!(help = "--version 1.3 and --version 1.0 choose another", "{error}"))?;
        if self.json {
            let (version, length) = (number(version), bytes.len());
            let text = message.text(said).to_string();
            print_json(&Encoded { version, xid: message.xid, length, hex: hex(&bytes), text })?;
        } else {
            println!("{}", hex(&bytes));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The message, and the version that its text is of.
    fn parsed(&self, text: &str) -> Result<(openflow::Version, Message), ParseError> {
        if self.message {
            return text::parse_message(text);
        }
        let body = if self.group {
            Body::GroupMod(text::parse_group(text)?)
        } else if self.meter {
            Body::MeterMod(text::parse_meter(text)?)
        } else {
            Body::FlowMod(text::parse_flow(text)?)
        };
        Ok((openflow::Version::V13, Message::new(self.xid, body)))
    }
}
