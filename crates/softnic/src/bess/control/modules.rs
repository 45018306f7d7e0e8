//! Modules: classes, creation, commands.

use std::any::Any as Anything;

use prost_types::Any;

use super::{Bess, Ports, State};
use crate::bess::class::{Argument, Class, Run, Setup, Target};
use crate::bess::modules::{all, find, saved};
use crate::bess::saving::{Keep, Kept};
use crate::bess::{Failure, name_template, pb};
use crate::engine::{Edit, MODULES_MAX, Module};
use crate::modules::{PortIn, PortOut};

/// Bytes of the longest name.
const NAME_MAX: usize = 255;

/// A module that a client has created.
pub(in crate::bess) struct Built {
    pub(super) class: &'static Class,
    /// What it was created with.
    arg: Any,
    /// The port whose queues it has, and the first of them.
    port: Option<(String, u64)>,
    /// How many had been built by then, for its seed.
    number: u64,
    /// What it has been told since.
    kept: Kept,
}

impl Bess {
    pub(crate) fn list_mclass(&self, _: &pb::EmptyRequest) -> Result<pb::ListMclassResponse, Failure> {
        let mut names: Vec<String> = all().map(|class| class.name.to_owned()).collect();
        names.sort_unstable();
        Ok(pb::ListMclassResponse { error: None, names })
    }

    pub(crate) fn get_mclass_info(
        &self,
        request: &pb::GetMclassInfoRequest,
    ) -> Result<pb::GetMclassInfoResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("the argument must be a class's name"));
        }
        let class = find(&request.name)
            .ok_or_else(|| Failure::not_found(format!("no module class '{}' found", request.name)))?;
        Ok(pb::GetMclassInfoResponse {
            error: None,
            name: class.name.to_owned(),
            help: class.help.to_owned(),
            cmds: class.commands.iter().map(|command| command.name.to_owned()).collect(),
            cmd_args: class.commands.iter().map(|command| command.arg.to_owned()).collect(),
        })
    }

    pub(crate) fn create_module(
        &self,
        request: &pb::CreateModuleRequest,
    ) -> Result<pb::CreateModuleResponse, Failure> {
        if request.mclass.is_empty() {
            return Err(Failure::invalid("missing 'mclass' field"));
        }
        let class = find(&request.mclass)
            .ok_or_else(|| Failure::not_found(format!("no mclass '{}' found", request.mclass)))?;
        let mut state = self.lock();
        let name = state.module_name(class, &request.name)?;
        let arg = request.arg.clone().unwrap_or_default();
        let mut port = None;
        let number = state.built + 1;
        let seed = self.config.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut setup = Setup {
            pool: &self.pool,
            ports: &mut state.ports,
            flavour: self.config.flavour,
            seed,
            name: &name,
            taken: &mut port,
        };
        let module = (class.build)(&mut setup, &Argument { any: &arg })?;
        self.engine.apply(Edit::new().add_boxed(name.clone(), module, self.nursery()))?;
        state.built = number;
        state.modules.insert(name.clone(), Built { class, arg, port, number, kept: Kept::default() });
        self.place(&state)?;
        Ok(pb::CreateModuleResponse { error: None, name })
    }

    pub(crate) fn destroy_module(
        &self,
        request: &pb::DestroyModuleRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("the argument must be a module's name"));
        }
        let mut state = self.lock();
        state.built(&request.name)?;
        self.destroy(&mut state, std::slice::from_ref(&request.name))?;
        self.place(&state)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn reset_modules(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        let names: Vec<String> = state.modules.keys().cloned().collect();
        self.destroy(&mut state, &names)?;
        Ok(pb::EmptyResponse::default())
    }

    /// Takes modules out of the graph, at once, and gives their queues back to the ports.
    fn destroy(&self, state: &mut State, names: &[String]) -> Result<(), Failure> {
        let edit = names.iter().fold(Edit::new(), |edit, name| edit.remove(name.clone()));
        for removed in self.engine.apply(edit)?.removed {
            state.hooks.forget(&removed.name);
            if let Some(Built { port: Some((port, first)), .. }) = state.modules.remove(&removed.name) {
                give_back(&mut state.ports, &port, first, removed.module);
            }
        }
        Ok(())
    }

    pub(crate) fn list_modules(&self, _: &pb::EmptyRequest) -> Result<pb::ListModulesResponse, Failure> {
        let state = self.lock();
        let snapshot = self.engine.snapshot();
        let describe = |(name, built): (&String, &Built)| pb::list_modules_response::Module {
            name: name.clone(),
            mclass: built.class.name.to_owned(),
            desc: snapshot.module(name).map(|module| state.describe(built, module)).unwrap_or_default(),
        };
        Ok(pb::ListModulesResponse { error: None, modules: state.modules.iter().map(describe).collect() })
    }

    pub(crate) fn module_command(
        &self,
        request: &pb::CommandRequest,
    ) -> Result<pb::CommandResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("missing module name field 'name'"));
        }
        let mut state = self.lock();
        let built = state.built_mut(&request.name)?;
        let command = built.class.commands.iter().find(|command| command.name == request.cmd);
        let command = command.ok_or_else(|| {
            let class = built.class.name;
            Failure::unsupported(format!("'{class}' does not support command '{}'", request.cmd))
        })?;
        let empty = Any::default();
        let argument = Argument { any: request.arg.as_ref().unwrap_or(&empty) };
        let data = match command.run {
            Run::InitialArg => Some(built.initial_arg()),
            Run::Module(run) => run(&Target { engine: &self.engine, module: &request.name }, &argument)?,
        };
        built.kept.note(command.name, Keep::of(built.class, command.name), argument.any);
        Ok(pb::CommandResponse { error: None, data })
    }
}

impl Built {
    /// The request that creates it, its number, and the commands that bring it to its state.
    pub(in crate::bess) fn requests(
        &self,
        bess: &Bess,
        name: &str,
    ) -> Result<(u64, pb::CreateModuleRequest, Vec<pb::CommandRequest>), Failure> {
        let (mclass, arg) = (self.class.name.to_owned(), Some(self.arg.clone()));
        let create = pb::CreateModuleRequest { name: name.to_owned(), mclass, arg };
        let command = |(command, arg): (&str, Any)| pb::CommandRequest {
            name: name.to_owned(),
            cmd: command.to_owned(),
            arg: Some(arg),
        };
        let commands = match saved(self.class.name) {
            Some(save) => save(&Target { engine: &bess.engine, module: name })?,
            None => self.kept.iter().map(|(command, arg)| (command, arg.clone())).collect(),
        };
        Ok((self.number, create, commands.into_iter().map(command).collect()))
    }

    /// The argument that the module was created with, of the type that the class has.
    fn initial_arg(&self) -> Any {
        let type_url = format!("type.googleapis.com/bess.pb.{}", self.class.arg);
        Any { type_url, value: self.arg.value.clone() }
    }
}

impl State {
    pub(super) fn built(&self, name: &str) -> Result<&Built, Failure> {
        self.modules.get(name).ok_or_else(|| no_module(name))
    }

    fn built_mut(&mut self, name: &str) -> Result<&mut Built, Failure> {
        self.modules.get_mut(name).ok_or_else(|| no_module(name))
    }

    /// One line on a module.
    pub(super) fn describe(&self, built: &Built, module: &crate::engine::ModuleSnapshot) -> String {
        let port = built.port.as_ref().map(|(port, _)| self.ports.describe(port));
        let failed = module.failed.as_ref().map(|panic| format!("out of order: {panic}"));
        let parts = [port, failed, Some(module.status.clone())];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// The name that a new module gets.
    fn module_name(&self, class: &Class, wanted: &str) -> Result<String, Failure> {
        if self.modules.len() >= MODULES_MAX {
            return Err(Failure::no_memory(format!("there are {MODULES_MAX} modules already")));
        }
        if wanted.len() > NAME_MAX {
            return Err(Failure::invalid(format!("a name has at most {NAME_MAX} bytes")));
        }
        if self.modules.contains_key(wanted) {
            return Err(Failure::exists(format!("module {wanted} exists")));
        }
        if !wanted.is_empty() {
            return Ok(wanted.to_owned());
        }
        let prefix = name_template(class.name);
        let free =
            (0..).map(|number| format!("{prefix}{number}")).find(|name| !self.modules.contains_key(name));
        free.ok_or_else(|| Failure::no_memory("no name is free"))
    }
}

fn no_module(name: &str) -> Failure {
    Failure::not_found(format!("no module '{name}' found"))
}

/// Lays the queues of a module that is gone back into its port.
fn give_back(ports: &mut Ports, port: &str, first: u64, module: Box<dyn Module>) {
    let module: Box<dyn Anything> = module;
    match module.downcast::<PortIn>() {
        Ok(module) => ports.give_rx(port, first, module.into_queues()),
        Err(module) => {
            if let Ok(module) = module.downcast::<PortOut>() {
                ports.give_tx(port, first, module.into_queues());
            }
        }
    }
}
