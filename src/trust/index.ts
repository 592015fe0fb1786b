// policy -> signatures -> verify-image
export {
  findPolicyFile,
  type FindPolicyOptions,
  type FoundPolicy,
  lastingPolicy,
  PolicyDirectory,
  PolicyFile,
} from './policy/policy-file.js';
export {
  fileImage,
  type FileImage,
  type PolicyImage,
  type PolicyTransport,
  registryImage,
} from './policy/policy-image.js';
export type { SignatureRequirement, SignatureRuling } from './policy/requirement.js';
export type {
  FoundSignature,
  SignatureManifest,
  SignatureSet,
  SignatureSource,
} from './signatures/find-signatures.js';
export {
  type MetRequirement,
  type VerifiedImage,
  type VerifyImageOptions,
  verifyImage,
} from './verify-image.js';
