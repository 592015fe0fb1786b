import type { Contestant } from '../contract.js';
import { measureCommand } from '../measure.js';

export const NODE_NOTHING = 'node -e 0';

/** What Node.js itself takes to start and to end. */
export function nodeNothing(): Contestant {
  return {
    name: NODE_NOTHING,
    version: `Node.js ${process.versions.node}`,
    run: () => measureCommand(process.execPath, ['-e', '0']),
  };
}
