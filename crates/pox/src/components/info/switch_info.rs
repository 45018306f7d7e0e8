//! Tells what a switch is when it connects: maker's words and ports.
//!
//! | option | meaning |
//! |---|---|
//! | `--always` | tells it every time, not only when it differs from last time |
//!
//! Launch: `weft pox info.switch_info`

use std::collections::HashMap;

use openflow::multipart::{Description, Reply, Request};

use crate::{Component, ConnectionUp, Core, Dpid, OPENFLOW, Options, OptionsError, Result, info, warning};

/// Switches remembered.
const SWITCHES_MAX: usize = 1 << 16;

/// Tells of switches.
#[derive(Debug, Default)]
pub struct SwitchInfo {
    always: bool,
    told: HashMap<Dpid, String>,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(SwitchInfo { always: options.flag("always")?, ..SwitchInfo::default() }))
}

impl Component for SwitchInfo {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        Ok(())
    }
}

impl SwitchInfo {
    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        let datapath = event.datapath;
        core.statistics(event.connection, Request::Description, move |this: &mut Self, answer, core| {
            match answer {
                Ok(Reply::Description(description)) => this.tell(datapath, &description, core),
                Ok(_) => {}
                Err(error) => warning!(core, "switch {datapath} does not say what it is: {error}"),
            }
        })?;
        Ok(())
    }

    fn tell(&mut self, datapath: Dpid, description: &Description, core: &mut Core) {
        let Some(connection) = core.connection(datapath) else { return };
        let shown = |text: &str| if text.is_empty() { "<empty>".to_owned() } else { text.to_owned() };
        let ports: Vec<&str> = connection.ports().values().map(|port| port.name.as_str()).collect();
        let rows = [
            ("manufacturer", shown(&description.manufacturer)),
            ("hardware", shown(&description.hardware)),
            ("software", shown(&description.software)),
            ("serial number", shown(&description.serial)),
            ("datapath", shown(&description.datapath)),
            ("version", connection.version().to_string()),
            ("ports", ports.join(" ")),
        ];
        let rows = rows.map(|(name, value)| format!("  {name:<14}{value}"));
        let text = format!("switch {datapath}\n{}", rows.join("\n"));
        if !self.always && self.told.get(&datapath) == Some(&text) {
            return;
        }
        info!(core, "{text}");
        if self.told.len() < SWITCHES_MAX || self.told.contains_key(&datapath) {
            self.told.insert(datapath, text);
        }
    }
}
