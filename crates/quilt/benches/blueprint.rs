//! What the steps from a file to a plan cost: `cargo bench -p quilt`.

use divan::{Bencher, black_box};
use quilt::address::AddressPlan;
use quilt::check::check;
use quilt::check::reach::Index;
use quilt::eval::{Options, evaluate_text};
use quilt::model::{Blueprint, Protocol};
use quilt::plan::{Deployed, Plan};

fn main() {
    divan::main();
}

const SHOP: &str = include_str!("../../../examples/shop.js");

/// `containers` in tiers of ten, each tier linked to the next on one port.
fn tiers(containers: usize) -> String {
    format!(
        "import {{ Container, Service, allow }} from 'weft';
        let before;
        for (let tier = 0; tier < {}; tier += 1) {{
          const name = `tier${{tier}}`;
          const now = new Container(name, {{ command: ['weft', 'tool', 'web'], env: {{ TIER: tier }}, replicas: 10 }});
          if (before) allow(before, now, 80);
          before = now;
        }}",
        containers / 10
    )
}

fn blueprint(text: &str) -> Blueprint {
    evaluate_text("bench.js", text, &Options::default()).unwrap().blueprint
}

#[divan::bench]
fn evaluate_shop(bencher: Bencher<'_, '_>) {
    bencher.bench(|| blueprint(black_box(SHOP)));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn evaluate_tiers(bencher: Bencher<'_, '_>, containers: usize) {
    let text = tiers(containers);
    bencher.bench(|| blueprint(&text));
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn evaluate_100_000_links(bencher: Bencher<'_, '_>) {
    let text = "import { Container, allow } from 'weft';
        const all = [];
        for (let i = 0; i < 1000; i += 1) all.push(new Container(`c${i}`, { command: ['x'] }));
        for (let p = 1; p <= 100; p += 1) allow(all, all[0], p);";
    bencher.bench(|| blueprint(text));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn check_tiers(bencher: Bencher<'_, '_>, containers: usize) {
    let blueprint = blueprint(&tiers(containers));
    bencher.bench(|| assert!(check(black_box(&blueprint), &|_| false).is_empty()));
}

/// The same with an expectation of each kind, from the first tier to the last and back.
#[divan::bench(args = [100, 1_000, 10_000])]
fn prove_tiers(bencher: Bencher<'_, '_>, containers: usize) {
    let (middle, last) = (containers / 20, containers / 10 - 1);
    let expected = format!(
        "{}\nimport {{ expect }} from 'weft';
        expect('tier0').canConnect('tier1', 80).canReach('tier{last}', 80).cannotConnect('tier{last}');
        expect('tier{last}').cannotReach('tier0');
        expect('tier{middle}').isBetween('tier0', 'tier{last}');
        expect('tier0').isNotBetween('tier{middle}', 'tier{last}');",
        tiers(containers)
    );
    let blueprint = blueprint(&expected);
    assert_eq!(blueprint.invariants.len(), 6);
    bencher.bench(|| assert!(check(black_box(&blueprint), &|_| false).is_empty()));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn plan_one_change(bencher: Bencher<'_, '_>, containers: usize) {
    let old = blueprint(&tiers(containers));
    let mut new = old.clone();
    new.containers[7].command.push("changed".into());
    let deployed = Deployed::of(&old);
    bencher.bench(|| assert_eq!(Plan::between(Some(&deployed), &new).replace.len(), 1));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn addresses(bencher: Bencher<'_, '_>, containers: usize) {
    let blueprint = blueprint(&tiers(containers));
    bencher.bench(|| AddressPlan::default().next(&blueprint));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn reach_question(bencher: Bencher<'_, '_>, containers: usize) {
    let blueprint = blueprint(&tiers(containers));
    let index = Index::new(&blueprint);
    bencher.bench(|| index.allowed(black_box("tier3-4"), "tier4-9", 80, Protocol::Tcp).is_some());
}
