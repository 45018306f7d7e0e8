// Two that may not talk at all.
import { Container, expect } from 'weft';

const one = new Container('one', { command: ['sleep', 1000] });
const two = new Container('two', { command: ['sleep', 1000] });
expect(one).cannotReach(two);
expect(two).cannotReach(one);
