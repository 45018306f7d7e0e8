//! Connections between modules, and what is told of a module.

use super::{Bess, now_s};
use crate::bess::{Failure, pb};
use crate::engine::{Edit, Gate, ModuleSnapshot, Side, Snapshot};

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
        let edit = Edit::new().connect(request.m1.clone(), output, request.m2.clone(), input);
        self.engine.apply(edit).map_err(|error| {
            let Failure { code, message } = error.into();
            let (m1, m2) = (&request.m1, &request.m2);
            Failure { code, message: format!("connection {m1}:{output}->{input}:{m2} failed: {message}") }
        })?;
        if !request.skip_default_hooks {
            self.track(&mut state, &request.m1, Side::Output(output))?;
        }
        self.place(&state)?;
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
        let snapshot = self.engine.snapshot();
        let outputs =
            snapshot.module(&request.name).map(|module| module.outputs.as_slice()).unwrap_or_default();
        let Some(output_now) = outputs.get(usize::from(output)) else {
            return Err(Failure::invalid(format!(
                "disconnection {}:{output} failed: there is no such gate",
                request.name
            )));
        };
        // A gate that leads nowhere may be disconnected again.
        let Some((to, input)) = output_now.to.clone() else { return Ok(pb::EmptyResponse::default()) };
        self.engine.apply(Edit::new().disconnect(request.name.clone(), output))?;
        self.unhook(&mut state, &request.name, Side::Output(output))?;
        let others = upstream(&snapshot, &to, input);
        if others.iter().all(|(name, gate)| *name == request.name && *gate == output) {
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
            igates: self.igates(&state, &snapshot, module),
            ogates: self.ogates(&state, module),
            metadata: module.attributes.iter().map(attribute).collect(),
            deadends: module.dropped + module.lost + unconnected,
        })
    }

    fn igates(&self, state: &super::State, snapshot: &Snapshot, module: &ModuleSnapshot) -> Vec<info::IGate> {
        let mut gates = Vec::new();
        for input in 0..module.inputs.len() as Gate {
            let ogates = upstream(snapshot, &module.name, input);
            if ogates.is_empty() {
                continue;
            }
            let side = Side::Input(input);
            let counts = state.hooks.tracked(self, module, side);
            gates.push(info::IGate {
                igate: u64::from(input),
                ogates: ogates
                    .into_iter()
                    .map(|(name, gate)| info::i_gate::OGate { ogate: u64::from(gate), name })
                    .collect(),
                cnt: counts.map_or(0, |counts| counts[0]),
                pkts: counts.map_or(0, |counts| counts[1]),
                bytes: counts.map_or(0, |counts| counts[2]),
                timestamp: counts.map_or(0.0, |_| now_s()),
                gatehooks: state.hooks.listed(&module.name, side),
            });
        }
        gates
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

/// The output gates that lead to an input gate.
pub(super) fn upstream(snapshot: &Snapshot, name: &str, input: Gate) -> Vec<(String, Gate)> {
    let mut found = Vec::new();
    for module in &snapshot.modules {
        for (number, output) in module.outputs.iter().enumerate() {
            if output.to.as_ref().is_some_and(|(to, gate)| to == name && *gate == input) {
                found.push((module.name.clone(), number as Gate));
            }
        }
    }
    found
}
