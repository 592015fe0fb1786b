import type { PolicyFile } from '../../trust/index.js';

/** Whether a policy accepts everything. One that cannot be understood accepts nothing. */
export async function isOpenToAll(policy: PolicyFile): Promise<boolean> {
  try {
    return await policy.acceptsEverything();
  } catch {
    return false;
  }
}
