//! Health checks and updates, as the kubelet and deployments have them: times in whole seconds.

use super::pods::literal;
use crate::kubernetes::manifest::{ExecAction, HttpAction, PodProbe, RollingUpdate, Strategy, TcpAction};
use crate::model::{Health, Probe, Update};

/// The check that decides whether a pod gets connections, and the one that has it started anew.
pub(super) fn probes(health: Option<&Health>) -> (Option<PodProbe>, Option<PodProbe>) {
    let Some(health) = health else { return (None, None) };
    let mut probe = PodProbe {
        period_seconds: seconds(health.interval_ms),
        timeout_seconds: seconds(health.timeout_ms),
        failure_threshold: health.retries,
        ..PodProbe::default()
    };
    match &health.probe {
        Probe::Command(words) => {
            probe.exec = Some(ExecAction { command: words.iter().map(|word| literal(word)).collect() });
        }
        Probe::Http { port, path } => probe.http_get = Some(HttpAction { path: path.clone(), port: *port }),
        Probe::Tcp { port } => probe.tcp_socket = Some(TcpAction { port: *port }),
    }
    let liveness = health.restart_after.map(|failure_threshold| PodProbe {
        failure_threshold,
        initial_delay_seconds: health.start_period_ms.div_ceil(1000),
        ..probe.clone()
    });
    (Some(probe), liveness)
}

/// A batch at a time is that many pods missing and none beyond; the pause is for how long they must have been ready.
pub(super) fn strategy(update: Option<Update>) -> (Option<Strategy>, Option<u32>) {
    let Some(update) = update else { return (None, None) };
    let rolling_update = RollingUpdate { max_surge: 0, max_unavailable: update.batch };
    let strategy = Strategy { r#type: "RollingUpdate".into(), rolling_update };
    let pause = update.pause_ms.div_ceil(1000);
    (Some(strategy), (pause > 0).then_some(pause))
}

/// The least that manifests can say is one.
fn seconds(ms: u32) -> u32 {
    ms.div_ceil(1000).max(1)
}
