// policy -> signatures -> verify-image
export {
  findPolicyFile,
  type FindPolicyOptions,
  type FoundPolicy,
  lastingPolicy,
} from './policy/find-policy.js';
export { PolicyDirectory } from './policy/policy-directory.js';
export { PolicyFile } from './policy/policy-file.js';
export {
  fileImage,
  type FileImage,
  type PolicyImage,
  type PolicyTransport,
  registryImage,
} from './policy/policy-image.js';
export type { SignatureRequirement, SignatureRuling } from './policy/signature-ruling.js';
export type { FoundSignature, SignatureManifest, SignatureSet } from './signatures/found-signature.js';
export type { SignatureSource } from './signatures/signature-reader.js';
export {
  type MetRequirement,
  type VerifiedImage,
  type VerifyImageOptions,
  verifyImage,
} from './verify-image.js';
