//! The kernel as the judge of IPLookup, ACL and NAT, under BESS's names: the same routes and rules there and in a daemon, told
//! by requests; real packets through both; real connections through the translator. Needs root, `ip`, `nft` and `ping`.

#[path = "../bess_kit/mod.rs"]
mod bess_kit;
#[path = "../../../netbricks/tests/functions_traffic/mod.rs"]
mod functions_traffic;
#[path = "../../../lookup/tests/kernel_routes/mod.rs"]
mod kernel_routes;
#[path = "../../../netbricks/tests/lab/mod.rs"]
mod lab;
#[path = "../../../netbricks/tests/nft_judge/mod.rs"]
mod nft_judge;

/// `--skip before_the_kernel` leaves these out where nobody is root.
mod before_the_kernel {
    mod nat;
    mod routes;
    mod rules;
}
