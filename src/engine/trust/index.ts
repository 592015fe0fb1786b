export { accompanies, isAccompaniment, subjectOfCosignTag } from './accompaniment.js';
export { type Admission, admitImage, type AdmitImageOptions } from './admit-image.js';
export { admitKnown, type AdmitKnownOptions } from './admit-known.js';
export { admitManifest, type AdmitManifestOptions } from './admit-manifest.js';
export { chainsOfManifest } from './chains-of-manifest.js';
export { type DocumentBytes, documentBytes } from '../document-bytes.js';
export { imagesEndingIn } from './images-ending-in.js';
export { indexesAbove } from './indexes-above.js';
export { knownVerifications } from './known-verifications.js';
export { KeptSignatures, signedByTag } from './kept-signatures.js';
export {
  type ManifestPath,
  type ManifestPaths,
  pathsToAll,
  pathTo,
  pathToPlatform,
} from './manifest-paths.js';
export { recordAdmission, type RecordAdmissionOptions } from './record-admission.js';
export { registrySignatures } from './registry-signatures.js';
export { signaturesOf } from './signatures-of.js';
