/**
 * Signature policies (containers-policy.json(5)): which signatures an image needs before it is let in.
 *
 * @module landfall/trust
 */
export { findPolicyFile, type FindPolicyOptions, type FoundPolicy, PolicyFile } from '../trust/index.js';
