//! Connections between modules, and what is told of a module.

use std::collections::BTreeMap;

use super::{Bess, now_s};
use crate::bess::{Failure, pb};
use crate::engine::{Edit, Gate, ModuleLinks, ModuleSnapshot, Side};

use pb::get_module_info_response as info;

fn gate(number: u64) -> Result<Gate, Failure> {
    Gate::try_from(number).map_err(|_| Failure::invalid(format!("there is no gate {number}")))
}

impl Bess {
    pub(crate) fn connect_modules(
        &self,
        request: &pb::ConnectModulesRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        state.built(&request.m1)?;
        state.built(&request.m2)?;
        let (output, input) = (gate(request.ogate)?, gate(request.igate)?);
        let mut graph = self.engine.graph();
        if let Some(module) = graph.iter_mut().find(|module| module.name == request.m1) {
            module.links.push((output, request.m2.clone(), input));
        }
        let edit = Edit::new().connect(request.m1.clone(), output, request.m2.clone(), input);
        self.place_with(edit, &graph).map_err(|Failure { code, message }| {
            let (m1, m2) = (&request.m1, &request.m2);
            Failure { code, message: format!("connection {m1}:{output}->{input}:{m2} failed: {message}") }
        })?;
        if !request.skip_default_hooks {
            self.track(&mut state, &request.m1, Side::Output(output))?;
        }
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn disconnect_modules(
        &self,
        request: &pb::DisconnectModulesRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("missing 'name' field"));
        }
        let mut state = self.lock();
        state.built(&request.name)?;
        let output = gate(request.ogate)?;
        let graph = self.engine.graph();
        let module = graph.iter().find(|module| module.name == request.name);
        if module.is_none_or(|module| output >= module.outputs) {
            let message = format!("disconnection {}:{output} failed: there is no such gate", request.name);
            return Err(Failure::invalid(message));
        }
        let link = module.and_then(|module| module.links.iter().find(|link| link.0 == output));
        // A gate that leads nowhere may be disconnected again.
        let Some((_, to, input)) = link.cloned() else { return Ok(pb::EmptyResponse::default()) };
        self.engine.apply(Edit::new().disconnect(request.name.clone(), output))?;
        self.unhook(&mut state, &request.name, Side::Output(output))?;
        let last = upstream(&graph, &to).get(&input).is_none_or(|gates| gates.len() == 1);
        if last {
            self.unhook(&mut state, &to, Side::Input(input))?;
        }
        self.place(&state)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn get_module_info(
        &self,
        request: &pb::GetModuleInfoRequest,
    ) -> Result<pb::GetModuleInfoResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("the argument must be a module's name"));
        }
        let state = self.lock();
        let built = state.built(&request.name)?;
        let snapshot = self.engine.snapshot();
        let module = snapshot
            .module(&request.name)
            .ok_or_else(|| Failure::internal(format!("module '{}' is in no worker's hands", request.name)))?;
        let attribute = |attribute: &crate::engine::AttributeSnapshot| info::Attribute {
            name: attribute.name.clone(),
            size: u64::from(attribute.size),
            mode: attribute.access.clone(),
            offset: attribute.offset,
        };
        let unconnected: u64 = module.outputs.iter().map(|output| output.unconnected + output.overrun).sum();
        Ok(pb::GetModuleInfoResponse {
            error: None,
            name: request.name.clone(),
            mclass: built.class.name.to_owned(),
            desc: state.describe(built, module),
            igates: self.igates(&state, module),
            ogates: self.ogates(&state, module),
            metadata: module.attributes.iter().map(attribute).collect(),
            deadends: module.dropped + module.lost + unconnected,
        })
    }

    fn igates(&self, state: &super::State, module: &ModuleSnapshot) -> Vec<info::IGate> {
        let gate = |(input, ogates): (Gate, Vec<(String, Gate)>)| {
            let side = Side::Input(input);
            let counts = state.hooks.tracked(self, module, side);
            let ogate = |(name, gate)| info::i_gate::OGate { ogate: u64::from(gate), name };
            info::IGate {
                igate: u64::from(input),
                ogates: ogates.into_iter().map(ogate).collect(),
                cnt: counts.map_or(0, |counts| counts[0]),
                pkts: counts.map_or(0, |counts| counts[1]),
                bytes: counts.map_or(0, |counts| counts[2]),
                timestamp: counts.map_or(0.0, |_| now_s()),
                gatehooks: state.hooks.listed(&module.name, side),
            }
        };
        upstream(&self.engine.graph(), &module.name).into_iter().map(gate).collect()
    }

    fn ogates(&self, state: &super::State, module: &ModuleSnapshot) -> Vec<info::OGate> {
        let mut gates = Vec::new();
        for (number, output) in module.outputs.iter().enumerate() {
            let Some((to, input)) = &output.to else { continue };
            let side = Side::Output(number as Gate);
            let counts = state.hooks.tracked(self, module, side);
            gates.push(info::OGate {
                ogate: number as u64,
                cnt: counts.map_or(0, |counts| counts[0]),
                pkts: counts.map_or(0, |counts| counts[1]),
                bytes: counts.map_or(0, |counts| counts[2]),
                timestamp: counts.map_or(0.0, |_| now_s()),
                name: to.clone(),
                igate: u64::from(*input),
                gatehooks: state.hooks.listed(&module.name, side),
            });
        }
        gates
    }
}

/// The output gates that lead to each input gate of a module that is connected.
pub(super) fn upstream(graph: &[ModuleLinks], name: &str) -> BTreeMap<Gate, Vec<(String, Gate)>> {
    let mut found: BTreeMap<Gate, Vec<(String, Gate)>> = BTreeMap::new();
    for module in graph {
        for (output, to, input) in &module.links {
            if to == name {
                found.entry(*input).or_default().push((module.name.clone(), *output));
            }
        }
    }
    found
}
