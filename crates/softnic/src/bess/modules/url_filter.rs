//! `UrlFilter`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{UrlFilter, UrlFilterError};

/// Differences from BESS: the case of hosts does not count, nor that of `Host`, of which BESS also takes the beginnings; there
/// may be more than sixteen fields in front of it; memory is bounded.
pub(super) const CLASS: Class = Class {
    name: "UrlFilter",
    help: "ends HTTP connections whose first request is for an address on a list",
    template: "url-filter",
    arg: "UrlFilterArg",
    build,
    commands: commands![UrlFilter;
        "get_initial_arg" => get_initial_arg,
        "get_runtime_config" => get_runtime_config,
        "set_runtime_config" => set_runtime_config,
        "add" => add,
        "clear" => clear,
    ],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let mut module = UrlFilter::new(setup.pool(), setup.seed());
    add(&mut module, decode(argument)?)?;
    Ok(Box::new(module))
}

fn add(module: &mut UrlFilter, arg: pb::UrlFilterArg) -> Result<(), Failure> {
    for url in arg.blacklist {
        module.add(&url.host, &url.path)?;
    }
    Ok(())
}

fn clear(module: &mut UrlFilter, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

/// Empty: the whole list is the runtime configuration, as in BESS.
fn get_initial_arg(_: &mut UrlFilter, _: pb::EmptyArg) -> Result<pb::UrlFilterArg, Failure> {
    Ok(pb::UrlFilterArg::default())
}

fn get_runtime_config(module: &mut UrlFilter, _: pb::EmptyArg) -> Result<pb::UrlFilterConfig, Failure> {
    let url =
        |(host, path): (&str, &str)| pb::url_filter_arg::Url { host: host.to_owned(), path: path.to_owned() };
    Ok(pb::UrlFilterConfig { blacklist: module.urls().map(url).collect() })
}

fn set_runtime_config(module: &mut UrlFilter, arg: pb::UrlFilterConfig) -> Result<(), Failure> {
    module.clear();
    add(module, pb::UrlFilterArg { blacklist: arg.blacklist })
}

impl From<UrlFilterError> for Failure {
    fn from(error: UrlFilterError) -> Self {
        match error {
            UrlFilterError::Full => Self::no_space(error.to_string()),
            UrlFilterError::Long(_) => Self::invalid(error.to_string()),
        }
    }
}
