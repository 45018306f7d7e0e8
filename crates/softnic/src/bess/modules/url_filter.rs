//! `UrlFilter`.

use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
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

/// All of them, or none.
fn add(module: &mut UrlFilter, arg: pb::UrlFilterArg) -> Result<(), Failure> {
    Ok(module.add_all(arg.blacklist.iter().map(|url| (url.host.as_str(), url.path.as_str())))?)
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
    Ok(config(module))
}

pub(super) fn save(module: &mut UrlFilter) -> Vec<Told> {
    vec![told("set_runtime_config", &config(module))]
}

fn config(module: &UrlFilter) -> pb::UrlFilterConfig {
    let url =
        |(host, path): (&str, &str)| pb::url_filter_arg::Url { host: host.to_owned(), path: path.to_owned() };
    pb::UrlFilterConfig { blacklist: module.urls().map(url).collect() }
}

/// The whole of it, or nothing changes.
fn set_runtime_config(module: &mut UrlFilter, arg: pb::UrlFilterConfig) -> Result<(), Failure> {
    Ok(module.replace(arg.blacklist.iter().map(|url| (url.host.as_str(), url.path.as_str())))?)
}

impl From<UrlFilterError> for Failure {
    fn from(error: UrlFilterError) -> Self {
        match error {
            UrlFilterError::Full => Self::no_space(error.to_string()),
            UrlFilterError::Long(_) => Self::invalid(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_something_wrong_in_it_changes_nothing() {
        let pool = packet::Pool::new(packet::PoolConfig { buffers: 16, ..Default::default() }).unwrap();
        let mut module = UrlFilter::new(pool, 1);
        let url = |host: &str, path: &str| pb::url_filter_arg::Url { host: host.into(), path: path.into() };
        let list = |urls: &[pb::url_filter_arg::Url]| pb::UrlFilterConfig { blacklist: urls.to_vec() };
        let good = list(&[url("a.example", "/"), url("b.example", "/x")]);
        set_runtime_config(&mut module, good.clone()).unwrap();
        let wrong = [url("c.example", "/"), url(&"x".repeat(100_000), "/"), url("d.example", "/")];
        assert_eq!(set_runtime_config(&mut module, list(&wrong)).unwrap_err().code, 22);
        assert_eq!(add(&mut module, pb::UrlFilterArg { blacklist: wrong.to_vec() }).unwrap_err().code, 22);
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), good);
        set_runtime_config(&mut module, list(&wrong[2..])).unwrap();
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), list(&wrong[2..]));
    }
}
