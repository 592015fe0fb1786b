export { accompanies, isAccompaniment, subjectOfCosignTag } from './accompaniment.js';
export {
  type Admission,
  admitImage,
  type AdmitImageOptions,
  admitKnown,
  type AdmitKnownOptions,
  admitManifest,
  type AdmitManifestOptions,
  recordAdmission,
  type RecordAdmissionOptions,
} from './admit-image.js';
export {
  chainsOfManifest,
  imagesEndingIn,
  indexesAbove,
  type ManifestPath,
  type ManifestPaths,
  pathsToAll,
  pathTo,
  pathToPlatform,
} from './manifest-paths.js';
export { type DocumentBytes, documentBytes } from '../document-bytes.js';
export { knownVerifications, registrySignatures, signaturesOf } from './registry-signatures.js';
export { KeptSignatures, signedByTag } from './kept-signatures.js';
