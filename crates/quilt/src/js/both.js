// What Quilt and Kelda had in common: machines that are described, environments that are set, things that are copied.

import { copy, push } from 'weft:core';
import { number, text, texts } from 'weft:arguments';

const { apply } = Reflect;
const { get: placeOf, set: setPlace } = WeakMap.prototype;

/** What both called everything outside. */
export const PUBLIC = 'public';

// Where things were made, beside them: their own members are printed.
const places = new WeakMap();

/** Notes where `object` was made, and gives it back. */
export const mark = (object, at) => {
  apply(setPlace, places, [object, at]);
  return object;
};

/** Where `object` was made; 0 if that is not known. */
export const marked = (object) => apply(placeOf, places, [object]) ?? 0;

/** A list of what `make` makes of each. */
export function each(list, make) {
  const made = [];
  for (let i = 0; i < list.length; i += 1) push(made, make(list[i]));
  return made;
}

/** What `machine` is asked for in either language, in the order in which it is printed. */
export function describeMachine(machine, given) {
  machine.provider = text('provider', given.provider);
  machine.role = text('role', given.role);
  machine.region = text('region', given.region);
  machine.size = text('size', given.size);
  machine.floatingIp = text('floatingIp', given.floatingIp);
  machine.diskSize = number('diskSize', given.diskSize);
  machine.sshKeys = texts('sshKeys', given.sshKeys);
}

/** A machine like `machine`. */
export const cloneMachine = (Machine, machine) => new Machine({ ...machine, sshKeys: copy(machine.sshKeys) });

/** As many copies of `this`, to be a method of machines and containers. */
export function replicate(count) {
  const list = [];
  for (let i = 0; i < count; i += 1) push(list, this.clone());
  return list;
}

/** Sets one variable of the environment, to be a method of containers. */
export function setEnv(key, value) {
  this.env[key] = value;
}

/** A copy of `this` with another environment, to be a method of containers. */
export function withEnv(env) {
  const container = this.clone();
  container.env = env;
  return container;
}

/** A copy of `this` with other files, to be a method of containers. */
export function withFiles(files) {
  const container = this.clone();
  container.filepathToContent = files;
  return container;
}
