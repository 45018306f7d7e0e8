// Types of the module 'weft/nf', for editors.

/** What a network function is. */
export interface NFOptions {
  /**
   * A function of `weft netbricks list` and its arguments: 'firewall rule=permit out any any', or a list of words where a value
   * holds an equals sign, ['signature', 'rule=drop "exe" content "a=b"']. Its inside is the side that opens connections. One of
   * acl, firewall, monitor, ratelimit, signature.
   */
  run: string | readonly (string | number)[];
  /** How many run; 1 without, 32 at most of all functions. */
  instances?: number;
  /**
   * What packets have in common that go to the same instance: the 'flow' (the default, both directions of it), the 'host pair',
   * or 'none': instances take turns.
   */
  affinity?: 'flow' | 'host pair' | 'none';
}

/** A network function, which runs beside the network itself: `allow(client, web, 80).through(new NF('watch', {run: 'monitor'}))`. */
export class NF {
  constructor(name: string, options: NFOptions);
  name: string;
}
