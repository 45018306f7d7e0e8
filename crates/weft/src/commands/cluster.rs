//! `--target kubernetes`: what `up`, `plan` and `stop` do on a cluster in place of this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use quilt::Loaded;
use quilt::cluster::{self, Cluster, ClusterError, Deployment, Enforcement, Progress, Rollout};
use quilt::fault::Faults;
use quilt::kubernetes::export::{self, Exported, HOST_IMAGE};

use super::blueprint::{coloured, pass_on};
use super::print_json;
use crate::style::{columns, tint};

/// Where a blueprint runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Where {
    /// On this machine
    #[default]
    Here,
    /// On a Kubernetes cluster
    Kubernetes,
    /// On the blueprint's own machines, which become a Kubernetes cluster
    Machines,
}

/// Which cluster, and how.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct Access {
    /// Where to run: on this machine, on a Kubernetes cluster, or on the blueprint's own machines
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "here|kubernetes|machines"
    )]
    target: Where,
    /// Context of the kubeconfig; the current one without
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// A namespace that is there; without, the deployment gets one of its own name
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The kubeconfig; without, KUBECONFIG, ~/.kube/config, or the account of the pod that weft runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where the API server is reached, in place of where the kubeconfig says
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl Access {
    /// Where to run. Options that have no meaning there are a mistake.
    pub(super) fn target(&self) -> miette::Result<Where> {
        let given = [
            (self.context.is_some(), "--context"),
            (self.kubeconfig.is_some(), "--kubeconfig"),
            (self.namespace.is_some(), "--namespace"),
            (self.server.is_some(), "--server"),
        ];
        let (senseless, what) = match self.target {
            Where::Kubernetes => (&given[..0], ""),
            Where::Machines => {
                (&given[..2], "an existing cluster, and the target is the blueprint's own machines")
            }
            Where::Here => (&given[..], "a cluster, and the target is this machine"),
        };
        match senseless.iter().find(|(is, _)| *is) {
            None => Ok(self.target),
            Some((_, option)) => Err(miette::miette!(
                help = "say --target kubernetes, or leave it out",
                "{option} is about {what}"
            )),
        }
    }

    /// Where the API server is reached, in place of where it says.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    pub(super) fn connect(&self) -> miette::Result<Cluster> {
        let target = cluster::Target {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            server: self.server.clone(),
        };
        Cluster::connect(&target).map_err(|error| report(&error))
    }

    /// Where in the cluster a deployment is.
    pub(super) fn place<'a>(&'a self, name: &'a str) -> Deployment<'a> {
        Deployment { name, namespace: self.namespace.as_deref().unwrap_or(name) }
    }
}

/// How a blueprint is written as manifests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct Manifests {
    /// Image of containers that run on this machine's files
    #[arg(long, value_name = "IMAGE", default_value = HOST_IMAGE)]
    image: String,
    /// A network that pods have their addresses from: what is published is not open to it
    #[arg(long = "pod-network", value_name = "CIDR")]
    pod_networks: Vec<String>,
    /// Publish ports by a Gateway of this class, in place of LoadBalancer services
    #[arg(long = "gateway", value_name = "CLASS")]
    class: Option<String>,
    /// A published port that speaks HTTP: it gets an HTTPRoute
    #[arg(long, value_name = "PORT", requires = "class")]
    http: Vec<u16>,
    /// A namespace that the gateway's pods run in; without, they are known by the gateway's label
    #[arg(long = "gateway-namespace", value_name = "NAMESPACE", requires = "class")]
    gateway_namespaces: Vec<String>,
}

impl Manifests {
    /// The manifests; what they do not say goes to standard error.
    pub(super) fn of(
        &self,
        loaded: &Loaded,
        secrets: bool,
        namespace: Option<&str>,
    ) -> miette::Result<Exported> {
        let lookup: &dyn Fn(&str) -> Option<String> = &quilt::secret;
        let gateway = self.class.as_deref().map(|class| export::Gateway {
            class,
            http: &self.http,
            namespaces: &self.gateway_namespaces,
        });
        let options = export::Options {
            host_image: &self.image,
            pod_networks: &self.pod_networks,
            gateway: gateway.as_ref(),
            namespace,
            secrets: secrets.then_some(lookup),
        };
        let exported = export::export(&loaded.blueprint, &options)
            .map_err(|faults| Faults::finish(faults, &loaded.sources, String::new()).into_report())?;
        for note in &exported.notes {
            pass_on(&format!("note: {note}\n"));
        }
        Ok(exported)
    }
}

/// An error of a cluster.
pub(super) fn report(error: &ClusterError) -> miette::Report {
    miette::miette!("{error}")
}

/// How an apply is done.
pub(super) struct Apply<'a> {
    pub(super) access: &'a Access,
    pub(super) manifests: &'a Manifests,
    /// Takes over fields that other programs have set.
    pub(super) force: bool,
    /// How long it is waited for containers to become ready.
    pub(super) limit: Duration,
    pub(super) is_quiet: bool,
}

impl Apply<'_> {
    /// Applies a blueprint to a cluster and waits until its containers are ready.
    pub(super) fn run(&self, loaded: &Loaded, cluster: &Cluster, bar: &ProgressBar) -> miette::Result<()> {
        let exported = self.manifests.of(loaded, true, self.access.namespace.as_deref())?;
        let place = self.access.place(&loaded.blueprint.name);
        let applied = cluster
            .apply(place, &exported, self.force, &mut |progress| show(bar, &progress))
            .map_err(|error| report(&error))?;
        match cluster.enforcement() {
            Enforcement::Yes(_) => {}
            not => bar.suspend(|| eprintln!("warning: {not}")),
        }
        let rollouts = cluster
            .wait(place, self.limit, &mut |progress| show(bar, &progress))
            .map_err(|error| report(&error))?;
        bar.finish_and_clear();
        if self.is_quiet {
            return Ok(());
        }
        for what in &applied.replaced {
            println!("{}", coloured(&format!("~ {what} (made anew)")).trim_end());
        }
        for what in &applied.pruned {
            println!("{}", coloured(&format!("- {what}")).trim_end());
        }
        println!(
            "{} on {}, namespace {}: {} objects",
            place.name,
            cluster.url(),
            place.namespace,
            applied.objects
        );
        if !rollouts.is_empty() {
            print!("\n{}", table(&rollouts));
        }
        Ok(())
    }
}

/// How far containers are, as a table.
fn table(rollouts: &[Rollout]) -> String {
    let mut rows = vec![["NAME", "READY", "STATE"].map(str::to_owned).to_vec()];
    for one in rollouts {
        let good = matches!(one.state, cluster::State::Ready | cluster::State::Done);
        let state = format!("{:?}", one.state).to_lowercase();
        rows.push(vec![one.name.clone(), format!("{}/{}", one.ready, one.desired), tint(&state, good)]);
    }
    columns(&rows)
}

pub(super) fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    match progress {
        Progress::Step(step) => bar.set_message((*step).to_owned()),
        Progress::Rollout(rollouts) => {
            let waiting = rollouts.iter().filter(|one| one.state == cluster::State::Waiting);
            let waiting: Vec<String> = waiting.take(4).map(ToString::to_string).collect();
            let ready =
                rollouts.len() - rollouts.iter().filter(|one| one.state == cluster::State::Waiting).count();
            bar.set_message(format!("{ready} of {} ready; {}", rollouts.len(), waiting.join(", ")));
        }
        Progress::Warning(text) => bar.suspend(|| eprintln!("warning: {text}")),
        _ => {}
    }
}

/// `weft plan --target kubernetes`.
pub(super) fn plan(
    access: &Access,
    manifests: &Manifests,
    loaded: &Loaded,
    force: bool,
    json: bool,
) -> miette::Result<()> {
    let exported = manifests.of(loaded, true, access.namespace.as_deref())?;
    let cluster = access.connect()?;
    let place = access.place(&loaded.blueprint.name);
    let changes = cluster.plan(place, &exported, force).map_err(|error| report(&error))?;
    if json {
        return print_json(&changes);
    }
    print!("{}", coloured(&changes.to_string()));
    Ok(())
}

/// `weft stop --target kubernetes`.
pub(super) fn stop(access: &Access, name: &str, volumes: bool) -> miette::Result<()> {
    let cluster = access.connect()?;
    let place = access.place(name);
    let stopped = cluster.stop(place, volumes, &mut |_| {}).map_err(|error| report(&error))?;
    for kept in &stopped.kept {
        eprintln!("note: {kept} is kept with its data; --volumes deletes it");
    }
    println!("stopped {name} ({} objects)", stopped.deleted.len());
    Ok(())
}
